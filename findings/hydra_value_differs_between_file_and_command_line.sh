#!/usr/bin/env bash
# Hydra 1.3.8 with OmegaConf 2.3.1: the same text is one value in the file and another one on the command line.
#
# The file is YAML 1.1, where on is true, 010 is 8 and 12:30 is 750 (base 60). The command line has a grammar of its
# own, where all three are text. So moving a setting from one to the other changes its type, and often its value: an
# option "on" becomes the text 'on', a seed 010 becomes the text '010'. 1e-3, true and null are the same in both.
#
# Seen: {'a': True, 'b': 8, 'c': 750, 'd': 0.001} from the file, {'a': 'on', 'b': '010', 'c': '12:30', 'd': 0.001} from
# the command line.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check hydra-core==1.3.8 omegaconf==2.3.1
cd "$folder"
echo '{file: {a: on, b: 010, c: 12:30, d: 1e-3}, line: {a: null, b: null, c: null, d: null}}' > config.yaml
cat > app.py <<'PYTHON'
import hydra
from omegaconf import OmegaConf


@hydra.main(config_path=".", config_name="config", version_base="1.3")
def main(config):
    found = OmegaConf.to_container(config)
    print("hydra", hydra.__version__, found)
    assert found["file"] == {"a": True, "b": 8, "c": 750, "d": 0.001}
    assert found["line"] == {"a": "on", "b": "010", "c": "12:30", "d": 0.001}


main()
PYTHON
"$folder/env/bin/python" app.py line.a=on line.b=010 line.c=12:30 line.d=1e-3 hydra.run.dir="$folder/out"
