"""Hydra --multirun with its joblib launcher, two processes: python .../hydra_multirun/grid.py tiny|small|medium

The grid is in conf/. Each fit is one run of Hydra, which writes its result into its output folder, as is usual with
Hydra. Data are loaded once per process; Hydra's own logs are off.
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

from common import load, print_results, splits  # noqa: E402
from training import fit  # noqa: E402


@hydra.main(version_base="1.3", config_path="conf")
def main(config: DictConfig) -> None:
    grid, fold = config.job, config.fold
    images, labels = load(grid)
    # The level "3x3 x 3" is written "3x3_x_3" in conf/.
    name = config.name.replace("_x_", " x ")
    accuracy = fit(grid, name, fold, images, labels, splits(grid)[fold])
    result = Path(HydraConfig.get().runtime.output_dir) / "result.json"
    result.write_text(json.dumps([name, accuracy]), encoding="utf-8")


if __name__ == "__main__":
    grid = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        sys.argv[1:] = ["--multirun", "--config-name", grid, f"hydra.sweep.dir={folder}"]
        main()
        results = [json.loads(file.read_text(encoding="utf-8")) for file in Path(folder).glob("*/result.json")]
    print_results(grid, results)
