#!/usr/bin/env bash
# Ray 2.60.0 on Linux: a Ray that `ray.init` started in a thread ends with that thread, and not with the program.
#
# Its processes ask the kernel to be killed with their parent (PR_SET_PDEATHSIG), and for the kernel that is the thread
# that started them. A program that connects in the background, to import something meanwhile, has no cluster when the
# thread has done its work. archrunner connects in the main thread.
#
# Seen: within the thread the cluster has its CPU; once the thread has ended, no process of it is left.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0 psutil==7.2.2
cat >"$folder/thread.py" <<'PYTHON'
import os
import threading
import time

import psutil
import ray


def processes():
    return [child.name() for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def start():
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    print(f"Ray {ray.__version__}, in the thread: {ray.cluster_resources()['CPU']:g} CPU, {len(processes())} processes")


thread = threading.Thread(target=start)
thread.start()
thread.join()
time.sleep(3)
left = processes()
print(f"after the thread: {len(left)} processes", flush=True)
os._exit(bool(left))
PYTHON
cd "$folder"
HOME="$folder" RAY_USAGE_STATS_ENABLED=0 "$folder/env/bin/python" "$folder/thread.py" 2>/dev/null
