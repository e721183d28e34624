#!/usr/bin/env bash
# Hydra 1.3.8 with OmegaConf 2.3.1: a whole mapping given on the command line is merged into that of the file.
#
# A file has  optimizer: {name: adam, lr: 1e-3, beta1: 0.8}. Given  'optimizer={name: sgd, lr: 0.1}', one expects what
# is written, as a list or a number that is given replaces the one in the file. The result is sgd with beta1 0.8: a
# parameter of one component goes to the other. If that accepts it (momentum, eps, weight_decay have the same name in
# many optimizers), the comparison of two optimizers is not the one that was asked for, and nothing says so.
#
# Seen: {'name': 'sgd', 'lr': 0.1, 'beta1': 0.8}; a list [1] replaces [1, 2, 3].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check hydra-core==1.3.8 omegaconf==2.3.1
cd "$folder"
cat > config.yaml <<'YAML'
optimizer: {name: adam, lr: 1e-3, beta1: 0.8}
widths: [1, 2, 3]
YAML
cat > app.py <<'PYTHON'
import hydra
from omegaconf import OmegaConf


@hydra.main(config_path=".", config_name="config", version_base="1.3")
def main(config):
    print("hydra", hydra.__version__, OmegaConf.to_container(config))
    assert OmegaConf.to_container(config) == {
        "optimizer": {"name": "sgd", "lr": 0.1, "beta1": 0.8},
        "widths": [1],
    }


main()
PYTHON
"$folder/env/bin/python" app.py 'optimizer={name: sgd, lr: 0.1}' 'widths=[1]' hydra.run.dir="$folder/out"
