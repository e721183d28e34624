#!/usr/bin/env bash
# MLflow 3.17.2: `mlflow server` on a port that is taken prints the error and ends with status 0.
#
# One expects a failure, as of any server that cannot listen: a supervisor that starts it again "on failure"
# (systemd's Restart=on-failure, a shell's `||`) takes the end for a success and leaves it down. The web server that
# MLflow starts as a child does fail; its status is not passed on. The first free port is no such case: it serves.
#
# Seen: address already in use   status 0
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${taken:-}" 2> /dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2
cd "$folder"
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
python3 - > port <<'PYTHON' &
import socket
import time

with socket.socket() as listening:
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    print(listening.getsockname()[1], flush=True)
    time.sleep(300)
PYTHON
taken=$!
until [ -s port ]; do sleep 0.2; done
status=0
env/bin/mlflow server --port "$(cat port)" --workers 1 --backend-store-uri sqlite:///mlflow.db > log 2>&1 || status=$?
env/bin/mlflow --version
grep -oi 'address already in use' log
echo "status $status"
test "$status" = 0  # fails once MLflow passes the failure on
