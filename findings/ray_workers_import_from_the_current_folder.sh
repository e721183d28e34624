#!/usr/bin/env bash
# Ray 2.60.0: workers import from the driver's current folder before they do from Python's own library.
#
# `ray.init` puts the folder in front of `sys.path` of every worker, also for a driver that Python keeps from importing
# there (-P, PYTHONSAFEPATH). So a file beside the data that has the name of a module replaces it in the workers alone.
# archrunner connects in another folder.
#
# Seen: the driver has the library's `colorsys`, and the task has the file of the current folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
mkdir "$folder/here"
echo "WHOSE = 'of the current folder'" >"$folder/here/colorsys.py"
cat >"$folder/import.py" <<'PYTHON'
import colorsys

import ray

ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")


@ray.remote
def whose():
    import colorsys

    return getattr(colorsys, "WHOSE", "of the library")


here, there = getattr(colorsys, "WHOSE", "of the library"), ray.get(whose.remote())
print(f"Ray {ray.__version__}: colorsys is that {here} in the driver, and that {there} in a worker")
raise SystemExit((here, there) != ("of the library", "of the current folder"))
PYTHON
cd "$folder/here"
HOME="$folder" RAY_USAGE_STATS_ENABLED=0 "$folder/env/bin/python" -P "$folder/import.py" 2>/dev/null
