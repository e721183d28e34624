#!/usr/bin/env bash
# MLflow 3.17.2 with --app-name basic-auth and --static-prefix /mlflow: /mlflow is forbidden, /mlflow/ is the UI.
#
# One expects the address of the server, as clients are given it, to open its UI: without basic-auth, and for the
# administrator with it, /mlflow is redirected to /mlflow/. Any other user gets 403 "Permission denied" for the address
# without the slash, and for every other path that does not exist, as if the password were right and a permission were
# missing.
#
# Seen: ada   /mlflow: 403   /mlflow/: 200   /: 403   /nothing: 403
#       admin /mlflow: 200   /mlflow/: 200   /: 404   /nothing: 404
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2> /dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2 Flask-WTF==1.3.0
cd "$folder"
printf '[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///users.db\nadmin_username = admin\n' > auth.ini
export MLFLOW_AUTH_CONFIG_PATH=$folder/auth.ini MLFLOW_AUTH_ADMIN_PASSWORD=admin-password-1
export MLFLOW_FLASK_SERVER_SECRET_KEY=any MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
port=$("$folder/env/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/env/bin/python" -m mlflow server --port "$port" --workers 1 --app-name basic-auth --static-prefix /mlflow \
  --backend-store-uri sqlite:///mlflow.db > server.log 2>&1 &
server=$!
"$folder/env/bin/python" - "http://127.0.0.1:$port" <<'PYTHON'
import sys
import time
from importlib.metadata import version

import requests

users = {"ada": "ada-password-1", "admin": "admin-password-1"}
for _ in range(300):
    try:
        requests.get(f"{sys.argv[1]}/mlflow/health", timeout=5)
        break
    except requests.ConnectionError:
        time.sleep(0.2)
requests.post(
    f"{sys.argv[1]}/mlflow/api/2.0/mlflow/users/create", auth=("admin", users["admin"]), timeout=30,
    json={"username": "ada", "password": users["ada"]},
).raise_for_status()
print("mlflow", version("mlflow"))
seen = {}
for user in users.items():
    paths = ("/mlflow", "/mlflow/", "/", "/nothing")
    seen[user[0]] = [requests.get(sys.argv[1] + path, auth=user, timeout=30).status_code for path in paths]
    print(f"{user[0]:5}", "  ".join(f"{path}: {status}" for path, status in zip(paths, seen[user[0]])))
assert seen == {"ada": [403, 200, 403, 403], "admin": [200, 200, 404, 404]}, "the behaviour changed"
PYTHON
