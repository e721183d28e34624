"""Trains networks of the zoo on disjoint data sets, and checks on them the interval of right and wrong answers.

    python benchmarks/zoo_studies.py train FOLDER ROOT   # one file per data set in FOLDER; can be interrupted
    python benchmarks/zoo_studies.py pack FOLDER ROOT    # FOLDER -> results/zoo_answers.npz
    python benchmarks/zoo_studies.py report              # results/zoo_answers.npz -> results/zoo_studies.csv

ROOT has the folders FashionMNIST/raw and cifar-10-batches-py with the published files. Every data set is an
experiment of its own, with splits, initial values and batch order of its own. STAGES are trained in their order.

A drawn experiment is one data set with some of its repeats. The true difference of two networks is the mean over the
OTHER data sets, or 0 for the network that has two names. Standard errors are over data sets. `crossed` is the interval
of right and wrong answers, `corrected` Nadeau and Bengio's, `plain` the paired t-test's.
"""

from __future__ import annotations

import base64
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from disjoint_sets import Source, read_part
from scipy.special import gammainc, stdtr, stdtrit

from runner.components.catalog import load_catalog
from runner.data.folds import stratified_splits
from runner.data.prepare import prepare_part
from runner.engines.torch_engine import engine
from runner.engines.torch_engine.learner import TorchLearner
from runner.experiment.load import load
from runner.fits import answers
from runner.fits.grouping import FitGroup, groups_to_train
from runner.planning.fits import assign_fit_ids
from runner.planning.make_plan import make_plan
from runner.reporting.statistics.answers import pack_answers
from runner.reporting.statistics.corrected_t import corrected_t_test
from runner.reporting.statistics.crossed import PRIOR, SHARED, crossed_differences
from runner.reporting.statistics.metric_test import binomial_std
from runner.workers.run_group import run_group

RESULTS = Path(__file__).with_name("results")
ANSWERS = RESULTS / "zoo_answers.npz"
VGG = "width: 4, hidden: 64, dropout: 0.2"
EXPERIMENT = f"""
name: zoo
plugins: [{Path(__file__).with_name("disjoint_sets.py")}]
dataset: {{name: disjoint_part, source: fashion-mnist, root: ., images: 2000, part: 0}}
architecture: {{name: small_vgg, {VGG}}}
optimizer: {{name: adam, lr: 4e-3, schedule: cosine}}
training: {{epochs: 3, batch_size: 25, engine: torch, device: cpu, stacking: 5}}
cross_validation: {{folds: 5, repeats: 4}}
grid:
  network:
    vgg:       {{architecture: {{name: small_vgg, {VGG}}}}}
    again:     {{architecture: {{name: small_vgg_again, {VGG}}}}}
    augmented: {{augmentation: [{{name: shift, pixels: 1}}, flip]}}
    resnet:
      architecture: {{name: resnet_cifar, depth: 20, width: 4}}
      optimizer: {{name: adam, lr: 1e-2, schedule: cosine}}
      training.epochs: 2
    deep:
      architecture: deep_convnet
      optimizer: {{name: adam, lr: 2e-3, schedule: cosine}}
      training.epochs: 2
      training.stacking: off
"""
"""`again` is `vgg` with other initial values. Networks too large to gain from it are trained one at a time."""


@dataclass(frozen=True)
class Study:
    """Disjoint data sets of `images` images each, numbered from 0; `sets` of them."""

    source: Source
    images: int
    sets: int
    folds: int = 5

    @property
    def name(self) -> str:
        return f"{self.source}-{self.images}" + (f"-{self.folds}-folds" if self.folds != 5 else "")


FASHION, CIFAR = Study("fashion-mnist", 2000, 35), Study("cifar10", 2000, 30)
LARGER, HALVES = Study("fashion-mnist", 5000, 14), Study("fashion-mnist", 2000, 35, folds=2)
LARGEST = (Study("fashion-mnist", 10_000, 7), Study("cifar10", 10_000, 6), Study("cifar10", 5000, 12))
STUDIES, WITH_LOSSES = (FASHION, CIFAR, LARGER, HALVES, *LARGEST), (FASHION, CIFAR)
CELLS, REPEATS = ("vgg", "again", "augmented", "resnet", "deep"), 4
NAMES, SMALL_CELLS, INTERVALS = np.array(CELLS), CELLS[:3], ("crossed", "corrected", "plain")
STAGES: list[tuple[Study, tuple[str, ...], range]] = [
    (FASHION, SMALL_CELLS, range(2)),
    (FASHION, ("resnet",), range(2)),
    (CIFAR, SMALL_CELLS, range(2)),
    (FASHION, SMALL_CELLS, range(2, 4)),
    (FASHION, ("deep",), range(1)),
    (LARGER, SMALL_CELLS, range(2)),
    (FASHION, ("deep",), range(1, 2)),
    (HALVES, SMALL_CELLS, range(4)),
    *((study, SMALL_CELLS, range(2)) for study in LARGEST),
]
"""The data sets, the cells and the repeats of each stage."""

Row = dict[str, Any]
Arrays = dict[str, np.ndarray]


class RecordingLearner(TorchLearner):
    """Also remembers the losses of the last evaluation, `image_losses` (fits, images); the last image may repeat."""

    last: RecordingLearner | None = None

    def evaluate(self, subset: Any) -> Any:
        self.parts: list[Any] = []
        evaluations = super().evaluate(subset)
        self.image_losses = np.concatenate(self.parts, axis=1)
        RecordingLearner.last = self
        return evaluations

    def _forward(self, *arguments: Any) -> Any:
        scores, losses = super()._forward(*arguments)
        if not self.module.training:
            self.parts.append(losses.detach().double().cpu().numpy())
        return scores, losses


def train_group(group: FitGroup) -> Iterator[Row]:
    """Train the fits of a group; one line per fit, with the losses of its validation images in half precision."""
    for number, (fit, result) in enumerate(zip(group, run_group(group), strict=True)):
        line = {"repeat": fit.repeat, "fold": fit.fold, "status": result.status, "cpu": result.cpu}
        if result.status != "ok" or RecordingLearner.last is None:
            yield line | {"reason": result.reason}
            continue
        losses = RecordingLearner.last.image_losses[number, : len(fit.validation)]
        assert np.isclose(losses.mean(), result.final("val_loss"), rtol=1e-6)
        packed = base64.b64encode(losses.astype(np.float16).tobytes()).decode()
        yield line | {"answers": result.answers, "losses": packed}


def train_set(study: Study, number: int, cells: tuple[str, ...], repeats: range, root: str, file: Path) -> float:
    """Train what `file` lacks of one data set; CPU seconds."""
    done = {(line["cell"], line["repeat"], line["fold"]) for line in read_lines(file)}
    every = {(cell, repeat, fold) for cell in cells for repeat in repeats for fold in range(study.folds)}
    if every <= done:
        return 0.0
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "zoo.yaml"
        text.write_text(EXPERIMENT)
        data = {"source": study.source, "root": root, "images": study.images, "part": number}
        settings = {f"dataset.{key}": value for key, value in data.items()} | {"seed": number}
        settings["cross_validation.folds"] = study.folds
        experiment = load(text, [f"{path}={value}" for path, value in settings.items()])
        for cell, group in wanted_groups(experiment, every - done):
            with file.open("a") as stream:
                stream.writelines(json.dumps({"cell": cell} | line) + "\n" for line in train_group(group))
    return time.process_time() - start


def wanted_groups(experiment: Any, wanted: set[tuple[str, int, int]]) -> Iterator[tuple[str, FitGroup]]:
    """The groups that have a fit of `wanted` (cell, repeat, fold), with the name of their cell."""
    plan, catalog, ref = make_plan(experiment), load_catalog(experiment.plugin_files), experiment.header.dataset
    data = catalog.build("dataset", catalog.bind("dataset", ref))
    with prepare_part(data, catalog.find("dataset", ref.name).origin) as part:
        splits = stratified_splits(part.labels, plan.folds, plan.repeats, plan.seed)
        plan, fits = assign_fit_ids(plan, part, None, splits, experiment.plugin_files)
        names = {cell.id: cell.name for cell in plan.cells}
        ids = {fit.id for fit in fits if (names[fit.cell], fit.repeat, fit.fold) in wanted}
        for group in groups_to_train(fits, ids):
            yield names[group[0].cell], group


def read_lines(file: Path) -> list[Row]:
    """The complete lines of a data set's file, one per fit; [] if there is no such file."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def train(folder: str, root: str) -> None:
    # The engine makes its learner by this name; nothing else is changed, so the fits are those of every study.
    engine.TorchLearner = RecordingLearner
    for study, cells, repeats in STAGES:
        (Path(folder) / study.name).mkdir(parents=True, exist_ok=True)
        for number in range(study.sets):
            seconds = train_set(study, number, cells, repeats, root, Path(folder) / study.name / f"{number:03}.jsonl")
            print(f"{study.name} set {number}: {', '.join(cells)}, {seconds:.1f} s of CPU time", flush=True)


def folds_of(study: Study, number: int, labels: np.ndarray) -> np.ndarray:
    """The fold (REPEATS, images) in which each image of a data set is validated."""
    fold_of = np.empty((REPEATS, study.images), np.uint8)
    for split in stratified_splits(labels, study.folds, REPEATS, number):
        fold_of[split.repeat, split.validation] = split.fold
    return fold_of


def encode(losses: np.ndarray) -> np.ndarray:
    """Losses as uint8, eight steps to a doubling of 1/64 + loss: to within 4.5% of that."""
    return np.rint(8 * np.log2(1 + 64 * losses.astype(np.float64))).clip(0, 255).astype(np.uint8)


def decode(codes: np.ndarray) -> np.ndarray:
    return (np.exp2(np.arange(256) / 8) - 1)[codes] / 64


def collect(study: Study, folder: Path, root: str) -> Arrays:
    """The arrays of a study that are saved; {} if nothing is trained.

    `sets` (S,) has the numbers of the data sets, `labels` (S, images) their classes, `bits` (S, cells, repeats, images
    / 8) the right answers, `losses` (S, cells, repeats, images) the `encode`d losses, 0 where not `complete`.
    """
    files = {number: folder / study.name / f"{number:03}.jsonl" for number in range(study.sets)}
    lines = {number: [line for line in read_lines(file) if line["status"] == "ok"] for number, file in files.items()}
    sets = [number for number, own in lines.items() if own]
    if not sets:
        return {}
    shape = (len(sets), len(CELLS), REPEATS)
    right, losses = (np.zeros((*shape, study.images), np.uint8) for _ in range(2))
    trained = np.zeros((*shape, study.folds), np.bool_)
    labels = np.array([read_part(study.source, root, study.images, number)[1] for number in sets], np.uint8)
    for at, number in enumerate(sets):
        fold_of = folds_of(study, number, labels[at])
        for line in lines[number]:
            place = at, CELLS.index(line["cell"]), line["repeat"]
            images = np.flatnonzero(fold_of[line["repeat"]] == line["fold"])
            packed = np.frombuffer(answers.right_bits(line["answers"], len(images)), np.uint8)
            right[(*place, images)] = np.unpackbits(packed, count=len(images))
            losses[(*place, images)] = encode(np.frombuffer(base64.b64decode(line["losses"]), np.float16))
            trained[(*place, line["fold"])] = True
    complete = trained.all(axis=-1)
    bits = np.packbits(right * complete[..., None], axis=-1)
    losses *= complete[..., None]
    return {"sets": np.array(sets), "labels": labels, "complete": complete, "bits": bits, "losses": losses}


def pack(folder: str, root: str) -> None:
    arrays: Arrays = {}
    for study in STUDIES:
        collected = collect(study, Path(folder), root)
        wanted = collected.keys() - (set() if study in WITH_LOSSES else {"losses"})
        arrays |= {f"{study.name}/{name}": collected[name] for name in sorted(wanted)}
    np.savez_compressed(ANSWERS, **arrays)
    print(f"{ANSWERS.name}: {ANSWERS.stat().st_size / 1e6:.2f} MB")


def experiments(study: Study, arrays: Arrays, metric: str) -> pd.DataFrame:
    """One row per drawn experiment and pair of networks: what the three intervals say."""
    frames = []
    for at, number in enumerate(arrays["sets"]):
        fold_of, complete = folds_of(study, int(number), arrays["labels"][at]), arrays["complete"][at]
        if metric == "accuracy":
            values = np.unpackbits(arrays["bits"][at], axis=-1, count=study.images).astype(np.float64)
        else:
            values = decode(arrays["losses"][at])
        for repeats in range(1, REPEATS + 1):
            for chosen in map(list, itertools.combinations(range(REPEATS), repeats)):
                present = np.flatnonzero(complete[:, chosen].all(axis=1))
                a, b = present[np.array(np.triu_indices(len(present), 1))]
                if len(a):
                    tests = judge(values[:, chosen], fold_of[chosen], study.folds, a, b, metric)
                    names = {"a": NAMES[a], "b": NAMES[b]}
                    frames.append(pd.DataFrame(tests | names | {"set": number, "repeats": repeats}))
    return pd.concat(frames, ignore_index=True)


def judge(
    values: np.ndarray, fold_of: np.ndarray, folds: int, a: np.ndarray, b: np.ndarray, metric: str
) -> dict[str, np.ndarray]:
    """The intervals and p of the pairs `a` - `b` from the `values` (cells, repeats, images) of an experiment."""
    by_fold = np.stack([(values * (fold_of == fold)).sum(-1) / (fold_of == fold).sum(-1) for fold in range(folds)], -1)
    differences = (by_fold[a] - by_fold[b]).reshape(len(a), -1)
    if metric == "accuracy":
        one, cell_at = np.full((len(a), 1), True), np.arange(len(values))[:, None]
        least = binomial_std(differences[:, None], one, fold_of.shape[1] // folds, folds)
        right = pack_answers(values.astype(np.int64), fold_of, folds)
        tests = crossed_differences(right, cell_at, a, b, one).tests()
    else:
        found = np.array([crossed_interval(d, fold_of, folds) for d in values[a] - values[b]])
        least, tests = np.full(len(a), np.nan), dict(zip(("low", "high", "p"), found.T, strict=True))
    plain, corrected = (corrected_t_test(differences, ratio, least_std=least) for ratio in (0.0, 1 / (folds - 1)))
    named = zip(INTERVALS, (tests, corrected, plain), strict=True)
    columns = {f"{name}_{key}": test[key] for name, test in named for key in ("low", "high", "p")}
    return {"mean": plain["mean"], **columns}


def crossed_interval(d: np.ndarray, fold_of: np.ndarray, folds: int) -> tuple[float, float, float]:
    """Low, high and p of the interval of `crossed` from a pair's differences of losses `d` (repeats, images).

    Written out here, since that module counts right answers; the letters are those of its docstring.
    """
    repeats, n = d.shape
    m, image = d.mean(), d.mean(axis=0)
    q = (image - m) ** 2
    base = (q.sum() + 2 * (q**2).sum() / q.sum()) / (n * (n - 1))
    means = fold_means(d, fold_of, folds)
    noise, shared, own = components(d, means, fold_of, folds)
    base, noise, f = base + SHARED * own / n, max(noise, 1e-12), folds * repeats - 1
    s, g = f / 2 + PRIOR, f * max(1 + shared / noise, 0.02) / 2
    p0, p1, p2 = gammainc([s, s - 1, s - 2], g)
    first, second = g / (s - 1) * p1 / p0, g * g / ((s - 1) * (s - 2)) * p2 / p0
    part = noise / (folds * repeats)
    variance = base + part * (first - 1)
    df = variance**2 / (base**2 / (n - 1) + part**2 * max(second - first**2, 0) / 2)
    plain = means.var(ddof=1) / (f + 1)
    if stdtrit(f, 0.975) * plain**0.5 > stdtrit(df, 0.975) * variance**0.5:
        variance, df = plain, f
    half = stdtrit(df, 0.975) * variance**0.5
    return m - half, m + half, 2 * stdtr(df, -abs(m) / variance**0.5)


def components(d: np.ndarray, means: np.ndarray, fold_of: np.ndarray, folds: int) -> tuple[float, float, float]:
    """N, sm2 and su2 by moments, from differences `d` (repeats, images) and their `means` (repeats, folds)."""
    (repeats, n), m, image = d.shape, d.mean(), d.mean(axis=0)
    nu = n / folds
    if repeats == 1:
        between = nu * ((means - m) ** 2).sum()
        within = (((d - m) ** 2).sum() - between) / (n - folds)
        return within / nu, (between / (folds - 1) - within) / nu, 0.0
    w, a = d - image, 1 - 1 / repeats
    inside = nu * (fold_means(w, fold_of, folds) ** 2).sum()
    left = [
        [a * a + (repeats - 1) / (repeats**2 * folds), a / nu],
        [(repeats - 1) / repeats**2 * (1 - 1 / folds), a * (1 - 1 / nu)],
    ]
    shared, own = np.linalg.solve(left, np.array([inside, (w**2).sum() - inside]) / (n * repeats))
    residual = ((w - (d.mean(axis=1) - m)[:, None]) ** 2).sum() / ((n - 1) * (repeats - 1))
    variance = max(0.0, ((image - m) ** 2).sum() / (n - 1) - residual / repeats)
    return max(own, 0.0) / nu * repeats / (repeats - 1), shared, variance


def fold_means(d: np.ndarray, fold_of: np.ndarray, folds: int) -> np.ndarray:
    """The mean (repeats, folds) of `d` (repeats, images) over the images of each fold."""
    member = fold_of[:, None] == np.arange(folds)[:, None]
    return (d[:, None] * member).sum(axis=-1) / member.sum(axis=-1)


def summarise(drawn: pd.DataFrame, study: Study, metric: str) -> Iterator[Row]:
    """One row per pair of networks and number of repeats, and one for all pairs that differ."""
    means = drawn[drawn["repeats"] == 1].groupby(["a", "b", "set"])["mean"].mean()
    by_pair = means.groupby(["a", "b"])
    others = (by_pair.transform("sum") - means) / (by_pair.transform("count") - 1)
    drawn = drawn.join(others.rename("truth"), on=["a", "b", "set"])
    drawn["same"] = (drawn["a"] == "vgg") & (drawn["b"] == "again")
    drawn.loc[drawn["same"], "truth"] = 0.0
    common = {"data": study.name, "metric": metric, "folds": study.folds}
    for repeats, rows in drawn.groupby("repeats"):
        design = common | {"repeats": repeats}
        for (a, b), own in rows.groupby(["a", "b"]):
            found = {
                "difference": by_pair.mean()[a, b],
                "difference_se": by_pair.std()[a, b] / own["set"].nunique() ** 0.5,
            }
            yield design | {"a": a, "b": b} | found | rates(own) | widths(own)
        yield design | {"a": "all", "b": "different"} | rates(rows[~rows["same"]])


def rates(rows: pd.DataFrame) -> Row:
    """How often each interval covers the truth and how often p < 0.05, in parts of 1; every data set counts alike."""
    found = {"data_sets": rows["set"].nunique(), "experiments": len(rows)}
    for name in INTERVALS:
        covers = (rows[f"{name}_low"] <= rows["truth"]) & (rows["truth"] <= rows[f"{name}_high"])
        for column, true in (("covers", covers), ("finds", rows[f"{name}_p"] < 0.05)):
            by_set = true.groupby(rows["set"]).mean()
            found |= {f"{name}_{column}": by_set.mean(), f"{name}_{column}_se": by_set.std() / len(by_set) ** 0.5}
    return found


def widths(rows: pd.DataFrame) -> Row:
    """The standard deviation of an experiment's mean, and the mean half widths over 1.96 times that."""
    by_set = rows.groupby("set")["mean"]
    deviation = (by_set.mean().var() + by_set.var(ddof=0).mean() * (1 - 1 / len(by_set))) ** 0.5
    half = {name: (rows[f"{name}_high"] - rows[f"{name}_low"]).mean() / 2 for name in INTERVALS}
    ideal = {f"{name}_width": width / (1.959964 * deviation) for name, width in half.items()}
    return {"deviation": deviation, **ideal, "width_ratio": half["crossed"] / half["corrected"]}


def report() -> None:
    """Write the table and print it."""
    table = pd.DataFrame(row for study in STUDIES for row in study_rows(study)).round(5)
    table.to_csv(RESULTS / "zoo_studies.csv", index=False)
    print(table.drop(columns=["folds", "experiments"]).round(3).to_string(index=False, na_rep=""))


def study_rows(study: Study) -> Iterator[Row]:
    """The rows of one study, of accuracy and of loss; none if nothing of it is trained."""
    with np.load(ANSWERS) as saved:
        prefix = f"{study.name}/"
        arrays = {name.removeprefix(prefix): saved[name] for name in saved.files if name.startswith(prefix)}
    for metric in [name for name, array in {"accuracy": "bits", "loss": "losses"}.items() if array in arrays]:
        yield from summarise(experiments(study, arrays, metric), study, metric)


if __name__ == "__main__":
    {"train": train, "pack": pack, "report": report}[sys.argv[1]](*sys.argv[2:])
