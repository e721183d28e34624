#!/usr/bin/env bash
# Ray 2.60.0: a program whose cluster has lost its head is ended by Ray after 60 seconds, without an exception.
#
# What waits for the head (`ray.nodes`, `ray.kill`, the creation of an actor) blocks, and then Ray's own code exits the
# process with status 1: no `except` or `finally` of the program runs, and nothing registered with `atexit`. Results
# that are only in its memory are lost. archrunner writes each result to its journal as it arrives, asks for the nodes
# in a thread, and ends with a line of its own before.
#
# Seen: the status is 1, and the program's `finally` and its handler at exit did not run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0 psutil==7.2.2
cat >"$folder/lost.py" <<'PYTHON'
import atexit
import time

import psutil
import ray

ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
print(f"Ray {ray.__version__}", flush=True)
atexit.register(print, "the handler at exit ran", flush=True)
[head] = [child for child in psutil.Process().children(recursive=True) if child.name() == "gcs_server"]
head.kill()
started = time.monotonic()
try:
    ray.nodes()
    time.sleep(300)
except BaseException as error:
    print(f"raised {type(error).__name__}", flush=True)
finally:
    print(f"finally, after {time.monotonic() - started:.0f} s", flush=True)
PYTHON
cd "$folder"
status=0
HOME="$folder" RAY_USAGE_STATS_ENABLED=0 "$folder/env/bin/python" "$folder/lost.py" >"$folder/printed" 2>/dev/null || status=$?
cat "$folder/printed"
echo "exit status $status"
test "$status" = 1
test "$(wc -l <"$folder/printed")" = 1
