#!/usr/bin/env bash
# MLflow 3.17.2: a client that only looks at a store of an older MLflow upgrades it, and the older MLflow cannot open it.
#
# The message for a store of another version is: take a backup of your database, then run 'mlflow db upgrade'. One
# expects this here too, as a look at an experiment should change nothing. But if a table that the newer version needs
# is missing, as in any store that is a few releases old, the client runs all migrations first, without a question and
# without a backup. A server or a colleague with the older version is then locked out of the shared data base.
#
# Seen: mlflow 3.4.0: opened; revision 71994744cf8e
#       mlflow 3.17.2: opened; revision dc11669786a5
#       mlflow 3.4.0: CommandError: Can't locate revision identified by 'dc11669786a5'; revision dc11669786a5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
# The parts of MLflow that hold a store, without its server and its other libraries.
install() {
  "$folder/env/bin/pip" install --quiet --disable-pip-version-check "mlflow-skinny==$1" \
    sqlalchemy==2.0.51 alembic==1.18.4 numpy==2.4.6 pandas==2.3.3
}
cat > "$folder/look.py" <<'PYTHON'
import logging
import sqlite3
import sys

import mlflow

logging.disable(logging.CRITICAL)
file = sys.argv[1]
try:
    mlflow.MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}").get_experiment_by_name("Default")
    found = "opened"
except Exception as error:
    found = f"{type(error).__name__}: {' '.join(str(error).split())[:60]}"
with sqlite3.connect(file) as store:
    (revision,) = store.execute("SELECT version_num FROM alembic_version").fetchone()
print(f"mlflow {mlflow.__version__}: {found}; revision {revision}")
PYTHON
look() { "$folder/env/bin/python" "$folder/look.py" "$folder/mlflow.db" | tail -n 1; }
install 3.4.0
before=$(look)
install 3.17.2
after=$(look)
install 3.4.0
again=$(look)
printf '%s\n' "$before" "$after" "$again"
[[ ${before##* } != "${after##* }" && $again == *"Can't locate revision"* ]] || {
  echo "the behaviour changed"
  exit 1
}
