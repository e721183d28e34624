"""Hydra --multirun with its joblib launcher on two processes: python .../hydra_multirun/grid.py tiny|small|medium

The grid stands in conf/. A job of Hydra is a fit; what it has to say it writes into its folder, as usual there. Data
are loaded once a process; Hydra's own logs are off.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import answer, load, splits  # noqa: E402
from training import fit  # noqa: E402


@hydra.main(version_base="1.3", config_path="conf")
def main(config: DictConfig) -> None:
    images, labels = load(config.job)
    name = config.name.replace("_x_", " x ")
    reached = fit(config.job, name, config.fold, images, labels, splits(config.job)[config.fold])
    result = Path(HydraConfig.get().runtime.output_dir) / "result.json"
    result.write_text(json.dumps([name, reached]), encoding="utf-8")


if __name__ == "__main__":
    job = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        sys.argv[1:] = ["--multirun", "--config-name", job, f"hydra.sweep.dir={folder}"]
        main()
        results = [json.loads(file.read_text(encoding="utf-8")) for file in Path(folder).glob("*/result.json")]
    answer(job, results)
