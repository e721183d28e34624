"""Ray Tune with a function trainable on two reused actors: python benchmarks/peers/ray_tune.py tiny|small|medium

Data lie in Ray's object store; Tune's loggers, dashboard and output are off.
"""

from __future__ import annotations

import os
import sys
import tempfile

os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_USAGE_STATS_ENABLED": "0"}

import logging  # noqa: E402

import ray  # noqa: E402
from common import JOBS, WORKERS, alone, answer, load, splits  # noqa: E402
from ray import tune  # noqa: E402
from training import fit  # noqa: E402


def trainable(chosen, job, images, labels, folds) -> None:
    name, fold = chosen["fit"]
    tune.report({"accuracy": fit(job, name, fold, images, labels, folds[fold])})


def main(job: str) -> None:
    images, labels = load(job)
    with tempfile.TemporaryDirectory() as folder:
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        given = tune.with_parameters(trainable, job=job, images=images, labels=labels, folds=splits(job))
        tuner = tune.Tuner(
            tune.with_resources(given, {"cpu": 1}),
            param_space={"fit": tune.grid_search(JOBS[job].fits())},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=WORKERS),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        ray.shutdown()
    for error in results.errors:
        raise error
    answer(job, [(result.config["fit"][0], result.metrics["accuracy"]) for result in results])


if __name__ == "__main__":
    alone()
    main(sys.argv[1])
