"""The figures of against_peers.py as Markdown: python benchmarks/peer_tables.py RESULTS.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean, median
from typing import Any

REFERENCE = "handwritten"
LABELS = {
    "ours float32": "**archrunner, float32**",
    "ours bfloat16": "**archrunner, bfloat16**",
    REFERENCE: "(a) handwritten loop",
    "skorch": "(b) skorch, GridSearchCV",
    "hydra": "(c) Hydra, joblib launcher",
    "ray": "(d) Ray Tune, reused actors",
    "lightning": "(e) Lightning, one Trainer per fold",
}


def spread(values: list[float], digits: int = 1) -> str:
    """The median, with minimum and maximum if there is more than one value."""
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), median(values), max(values)))
    return f"{middle} ({low} to {high})" if len(values) > 1 else middle


def page(results: dict[str, Any]) -> str:
    """The page of one grid: machine, times and ratios, accuracies, and where archrunner spends its CPU seconds."""
    parts = [
        _heading(results), _times(results), _accuracies(results), _own_cpu(results), _convolutions(results),
        _versions(results),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(results: dict[str, Any]) -> str:
    machine, rounds = results["machine"], len(results["rounds"])
    cache = "data cache of archrunner empty each time" if results["cold"] else "data cache of archrunner filled before"
    processor = f"{machine['processor']}, {machine['cores']} cores, bfloat16 instructions: {machine['bfloat16']}"
    method = f"{rounds} interleaved round{'s' if rounds > 1 else ''}; {cache}; load before the first round"
    return f"# {results['job']}\n\n{processor}. {method} {results['load']:.1f}. Median (minimum to maximum)."


def _column(results: dict[str, Any], program: str, key: str) -> list[float]:
    """One value per round."""
    return [programs[program][key] for programs in results["rounds"]]


def _times(results: dict[str, Any]) -> str:
    """Ratios are of two times of the same round, so that other load on the machine affects both."""
    lines = [
        "| | wall clock, s | CPU, s | speed, handwritten = 1 | speed-up of archrunner, float32 |",
        "|---|---:|---:|---:|---:|",
    ]
    handwritten, ours = (_column(results, program, "wall") for program in (REFERENCE, "ours float32"))
    for program in results["rounds"][0]:
        wall = _column(results, program, "wall")
        speed = [reference / time for reference, time in zip(handwritten, wall, strict=True)]
        speedup = [time / our for time, our in zip(wall, ours, strict=True)]
        cells = (spread(wall), spread(_column(results, program, "cpu")), spread(speed, 2), spread(speedup, 2))
        lines.append(f"| {LABELS[program]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _accuracies(results: dict[str, Any]) -> str:
    programs, rounds = list(results["rounds"][0]), results["rounds"]
    networks = rounds[0][REFERENCE]["accuracies"]
    labels = " | ".join(LABELS[program].strip("*") for program in programs)
    lines = [f"| accuracy, % | {labels} |", f"|---|{'---:|' * len(programs)}"]
    for network in networks:
        means = [fmean(a for one in rounds for a in one[program]["accuracies"][network]) for program in programs]
        lines.append(f"| {network} | {' | '.join(f'{100 * mean:.1f}' for mean in means)} |")
    return "Means over folds and rounds. They agree: all programs trained the same networks.\n\n" + "\n".join(lines)


def _own_cpu(results: dict[str, Any]) -> str:
    """How much of archrunner's CPU time the fits take."""
    lines = []
    for program in results["rounds"][0]:
        if program.startswith("ours"):
            fits = [sum(map(sum, programs[program]["fits"].values())) for programs in results["rounds"]]
            rest = [cpu - fit for cpu, fit in zip(_column(results, program, "cpu"), fits, strict=True)]
            parts = "imports, processes, journal, MLflow, report"
            label = LABELS[program].strip("*")
            lines.append(
                f"{label}: {spread(fits)} s of CPU time in fits, {spread(rest)} s in everything else ({parts})."
            )
    return "\n\n".join(lines)


def _convolutions(results: dict[str, Any]) -> str:
    """The seconds that a fit's convolutions would take at oneDNN's best rates, against what the fit took."""
    if "convolutions" not in results:
        return ""
    lines = [
        "Convolutions: oneDNN's rate for these shapes, measured in the same run with one thread, in one process and in"
        " two at once; the minimum seconds per fit at the latter rate; and that as a fraction of what the fit took.\n",
        "| | GMAC/s, one process | GMAC/s, each of two | minimum s/fit | CPU s/fit | fraction | at the rate of one |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for program in (program for program in results["rounds"][0] if program.startswith("ours")):
        networks = [*results["rounds"][0][program]["fits"], None]
        lines += [_convolution_row(results, program, network) for network in networks]
    return "\n".join(lines)


def _convolution_row(results: dict[str, Any], program: str, network: str | None) -> str:
    """The row of one network, or for None that of the mean over all networks."""
    precision = program.removeprefix("ours ")
    first = results["rounds"][0][program]
    networks = [network] if network else list(first["fits"])
    images, folds = first["images"], len(first["fits"][networks[0]])
    taken = median(fmean(fmean(programs[program]["fits"][n]) for n in networks) for programs in results["rounds"])
    rates, minimum = {}, {}
    for work in ("alone", "two at once"):
        best = [_best(results["convolutions"], work, precision, n) for n in networks]
        rates[work] = sum(image["macs"] for image in best) / sum(image["learn"] for image in best) / 1e9
        minimum[work] = fmean(_minimum_seconds(image, images, folds) for image in best)
    both, alone = minimum["two at once"], minimum["alone"]
    figures = f"{rates['alone']:.0f} | {rates['two at once']:.0f} | {both:.2f} | {taken:.2f}"
    label = f"{LABELS[program].strip('*')}, {network or 'all'}"
    return f"| {label} | {figures} | {both / taken:.0%} | {alone / taken:.0%} |"


def _best(rates: list[dict[str, Any]], work: str, precision: str, network: str) -> dict[str, float]:
    """The values per image of the round with the fastest training."""
    rounds = [one["per image"][work][precision][network] for one in rates]
    return min(rounds, key=lambda image: image["learn"])


def _minimum_seconds(image: dict[str, float], images: int, folds: int) -> float:
    """The convolutions' seconds for one epoch and its validation."""
    return (images - images / folds) * image["learn"] + images / folds * image["judge"]


def _versions(results: dict[str, Any]) -> str:
    machine = results["machine"]
    packages = (f"{name} {version}" for name, version in machine["versions"].items())
    return ", ".join([f"{machine['system']}, Python {machine['python']}", *packages])


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
