"""The figures of against_peers.py as Markdown: python benchmarks/peer_tables.py RESULTS.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean, median
from typing import Any

REFERENCE = "handwritten"
LABELS = {
    "ours float32": "**ours, float32**",
    "ours bfloat16": "**ours, bfloat16**",
    REFERENCE: "(a) by hand",
    "skorch": "(b) skorch, GridSearchCV",
    "hydra": "(c) Hydra, joblib launcher",
    "ray": "(d) Ray Tune, reused actors",
    "lightning": "(e) Lightning, a Trainer a fold",
}


def spread(values: list[float], digits: int = 1) -> str:
    """Median, and from least to most."""
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), median(values), max(values)))
    return f"{middle} ({low} to {high})" if len(values) > 1 else middle


def table(found: dict[str, Any]) -> str:
    """The job's page: machine, times and ratios, accuracies, and where ours spends its processor seconds."""
    parts = [_heading(found), _times(found), _accuracies(found), _ours(found), _share(found), _versions(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(found: dict[str, Any]) -> str:
    of, rounds = found["machine"], len(found["rounds"])
    data = "our data cache empty each time" if found["cold"] else "our data cache filled before"
    where = f"{of['processor']}, {of['cores']} cores, instructions for bfloat16: {of['bfloat16']}"
    how = f"{rounds} interleaved round{'s' if rounds > 1 else ''}; {data}; load before the first round"
    return f"# {found['job']}\n\n{where}. {how} {found['load']:.1f}. Median (least to most)."


def _column(found: dict[str, Any], name: str, key: str) -> list[float]:
    return [one[name][key] for one in found["rounds"]]


def _times(found: dict[str, Any]) -> str:
    """Ratios are of the two times of one round, so that what else the machine did falls on both."""
    lines = [
        "| | wall, s | processor, s | speed, by hand = 1 | ours, float32, is as fast |",
        "|---|---:|---:|---:|---:|",
    ]
    by_hand, ours = (_column(found, name, "wall") for name in (REFERENCE, "ours float32"))
    for name in found["rounds"][0]:
        wall = _column(found, name, "wall")
        speed = [hand / mine for hand, mine in zip(by_hand, wall, strict=True)]
        slower = [mine / our for mine, our in zip(wall, ours, strict=True)]
        cells = (spread(wall), spread(_column(found, name, "cpu")), spread(speed, 2), spread(slower, 2))
        lines.append(f"| {LABELS[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _accuracies(found: dict[str, Any]) -> str:
    names = list(found["rounds"][0])
    networks = found["rounds"][0][REFERENCE]["accuracies"]
    lines = [f"| accuracy, % | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for network in networks:
        means = [fmean(a for one in found["rounds"] for a in one[name]["accuracies"][network]) for name in names]
        lines.append(f"| {network} | {' | '.join(f'{100 * mean:.1f}' for mean in means)} |")
    return "Means over the folds: the same networks were trained.\n\n" + "\n".join(lines)


def _ours(found: dict[str, Any]) -> str:
    """How much of our processor seconds the fits take."""
    lines = []
    for name in found["rounds"][0]:
        if name.startswith("ours"):
            fits = [sum(map(sum, one[name]["fits"].values())) for one in found["rounds"]]
            rest = [cpu - fit for cpu, fit in zip(_column(found, name, "cpu"), fits, strict=True)]
            words = "imports, processes, journal, MLflow, report"
            lines.append(f"{name}: {spread(fits)} s of the processor in fits, {spread(rest)} s in all else ({words}).")
    return "\n\n".join(lines)


def _share(found: dict[str, Any]) -> str:
    """The seconds that the convolutions of a fit take at oneDNN's best rates, against those that the fit took."""
    if "convolutions" not in found:
        return ""
    lines = [
        "Convolutions: the rate that oneDNN reaches for these shapes in the same run, on one thread, and on two in two"
        " processes at once; the least seconds of a fit at the latter; and what share that is of what the fit took.\n",
        "| | GMAC/s alone | GMAC/s of each of two | least s a fit | processor s a fit | share | by the rate alone |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in (name for name in found["rounds"][0] if name.startswith("ours")):
        lines += [_share_row(found, name, network) for network in [*found["rounds"][0][name]["fits"], None]]
    return "\n".join(lines)


def _share_row(found: dict[str, Any], name: str, network: str | None) -> str:
    """Of one network, or of the mean fit of all."""
    precision = name.removeprefix("ours ")
    first = found["rounds"][0][name]
    networks = [network] if network else list(first["fits"])
    images, folds = first["images"], len(first["fits"][networks[0]])
    took = median(fmean(fmean(one[name]["fits"][n]) for n in networks) for one in found["rounds"])
    rates, least = {}, {}
    for work in ("alone", "two at once"):
        best = [_best(found["convolutions"], work, precision, n) for n in networks]
        rates[work] = sum(of["macs"] for of in best) / sum(of["learn"] for of in best) / 1e9
        least[work] = fmean(_least(of, images, folds) for of in best)
    both, alone = least["two at once"], least["alone"]
    figures = f"{rates['alone']:.0f} | {rates['two at once']:.0f} | {both:.2f} | {took:.2f}"
    return f"| {name}, {network or 'all'} | {figures} | {both / took:.0%} | {alone / took:.0%} |"


def _best(measured: list[dict[str, Any]], work: str, precision: str, network: str) -> dict[str, float]:
    every = [one["per image"][work][precision][network] for one in measured]
    return min(every, key=lambda of: of["learn"])


def _least(of: dict[str, float], images: int, folds: int) -> float:
    """One epoch, and its validation."""
    return (images - images / folds) * of["learn"] + images / folds * of["judge"]


def _versions(found: dict[str, Any]) -> str:
    of = found["machine"]
    return ", ".join(
        [f"{of['system']}, Python {of['python']}", *(f"{name} {at}" for name, at in of["versions"].items())]
    )


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
