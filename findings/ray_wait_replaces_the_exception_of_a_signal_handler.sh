#!/usr/bin/env bash
# Ray 2.60.0: `ray.wait` and `ray.get` replace an exception that a signal handler raises by a plain KeyboardInterrupt.
#
# A handler may raise a subclass of it that says which signal came; Python's own waiting (time.sleep, queue.get) passes
# that on. Ray's raises another, without arguments and without a cause, so that SIGTERM cannot be told from Ctrl-C.
# archrunner waits in a queue of Python's, into which Ray's futures put their results.
#
# Seen: `time.sleep` raises the handler's exception, `ray.wait` and `ray.get` a plain KeyboardInterrupt.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
cat >"$folder/signals.py" <<'PYTHON'
import os
import signal
import threading
import time

import ray


class Stopped(KeyboardInterrupt):
    pass


def stop(number, frame):
    raise Stopped(number)


@ray.remote
def slow():
    time.sleep(600)


def raised(wait):
    threading.Timer(2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    try:
        wait()
    except KeyboardInterrupt as error:
        return f"{type(error).__name__}{error.args}"


ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
signal.signal(signal.SIGUSR1, stop)
reference = slow.remote()
calls = {
    "time.sleep": lambda: time.sleep(60),
    "ray.wait": lambda: ray.wait([reference], timeout=60),
    "ray.get": lambda: ray.get(reference, timeout=60),
}
found = {name: raised(call) for name, call in calls.items()}
print(f"Ray {ray.__version__}: {found}")
raise SystemExit(list(found.values()) != ["Stopped(10,)", "KeyboardInterrupt()", "KeyboardInterrupt()"])
PYTHON
cd "$folder"
HOME="$folder" RAY_USAGE_STATS_ENABLED=0 "$folder/env/bin/python" "$folder/signals.py" 2>/dev/null
