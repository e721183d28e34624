#!/usr/bin/env bash
# MLflow 3.17.2 with matplotlib 3.11.2 and IPython 9.18.1: a figure that is made while a thread sends MLflow's first
# request can fail, with "partially initialized module 'IPython' has no attribute 'version_info'".
#
# MLflow's client imports IPython at its first request to a server, in any program, to see whether it runs in a notebook
# of Databricks. A canvas of matplotlib asks for `sys.modules["IPython"].version_info` without importing it, and so may
# find a module that another thread is still importing. Programs that publish in a thread and draw in another meet it
# only where IPython is installed, and only now and then.
# archrunner imports IPython before a figure is made if any of it is there, which waits for the other thread.
#
# Seen: IPython is not imported with the client, but at its first request; the figure raises AttributeError meanwhile,
# and succeeds once the import is complete.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2 matplotlib==3.11.2 ipython==9.18.1
cat >"$folder/meet.py" <<'PYTHON'
import contextlib
import os
import sys
import threading

os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}
from matplotlib.figure import Figure
from mlflow import MlflowClient

client = MlflowClient("http://127.0.0.1:9")  # nothing answers there, which changes nothing
with_the_client = "IPython" in sys.modules


def request():
    with contextlib.suppress(Exception):
        client.get_experiment_by_name("any")


def draw():
    try:
        Figure()
    except AttributeError as error:
        return type(error).__name__
    return "a figure"


sys.setswitchinterval(1e-5)
thread = threading.Thread(target=request)
thread.start()
while "IPython" not in sys.modules:
    pass
meanwhile = draw()
thread.join()
found = [with_the_client, meanwhile, draw()]
print(found)
raise SystemExit(found != [False, "AttributeError", "a figure"])
PYTHON
"$folder/env/bin/python" "$folder/meet.py"
