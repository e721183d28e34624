"""Ray Tune with a function trainable and two reused actors: python benchmarks/peers/ray_tune.py tiny|small|medium

The data are in Ray's object store; Tune's loggers, dashboard and output are off.
"""

from __future__ import annotations

import os
import sys
import tempfile

# Set before ray is imported.
os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_USAGE_STATS_ENABLED": "0"}

import logging  # noqa: E402

import ray  # noqa: E402
from common import GRIDS, WORKERS, load, print_results, splits, use_one_thread  # noqa: E402
from ray import tune  # noqa: E402
from training import fit  # noqa: E402


def trainable(config, grid, images, labels, folds) -> None:
    name, fold = config["fit"]
    tune.report({"accuracy": fit(grid, name, fold, images, labels, folds[fold])})


def main(grid: str) -> None:
    images, labels = load(grid)
    with tempfile.TemporaryDirectory() as folder:
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        with_data = tune.with_parameters(trainable, grid=grid, images=images, labels=labels, folds=splits(grid))
        tuner = tune.Tuner(
            tune.with_resources(with_data, {"cpu": 1}),
            param_space={"fit": tune.grid_search(GRIDS[grid].fits())},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=WORKERS),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        ray.shutdown()
    for error in results.errors:
        raise error
    print_results(grid, [(result.config["fit"][0], result.metrics["accuracy"]) for result in results])


if __name__ == "__main__":
    use_one_thread()
    main(sys.argv[1])
