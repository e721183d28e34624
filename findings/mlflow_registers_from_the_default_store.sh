#!/usr/bin/env bash
# MLflow 3.17.2: a client of one store looks a model to register up in another one, the default store of the process.
#
# `MlflowClient(tracking_uri=...).create_model_version(name, "models:/ID")` asks the registry in that store, which makes
# a client without an address to find the model. So it is "not found", though the same client has just returned it; and
# a failed search is repeated for seconds. archrunner gives the place of the files (`artifact_location`) instead.
#
# Seen: the client finds the model, registering it by its address fails, and by the place of its files it works.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2
cat >"$folder/register.py" <<'PYTHON'
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

client = MlflowClient(tracking_uri="sqlite:///mine.db")
experiment = client.create_experiment("mine")
run = client.create_run(experiment).info.run_id
model = client.create_logged_model(experiment, "network", source_run_id=run)
client.finalize_logged_model(model.model_id, "READY")
client.create_registered_model("registered")
assert client.get_logged_model(model.model_id).name == "network", "the client has it"
try:
    client.create_model_version("registered", f"models:/{model.model_id}", run, model_id=model.model_id)
    print("registered by its address: the behaviour has changed")
    raise SystemExit(1)
except MlflowException as error:
    assert "not found" in str(error), error
    print(f"MLflow {mlflow.__version__}: by its address: {str(error)[:60]}...")
version = client.create_model_version("registered", model.artifact_location, run, model_id=model.model_id)
print(f"by the place of its files: version {version.version}")
PYTHON
cd "$folder"
MLFLOW_DISABLE_TELEMETRY=true "$folder/env/bin/python" "$folder/register.py" 2>/dev/null
