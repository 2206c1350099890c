"""Tables and figure of the results of ``benchmarks/studies/byzantine.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.measure import show
from benchmarks.common.tables import table_lines
from marl_stl_env.files import atomic_path

#: Keys that all seeds of a team share.
TEAM = ("dataset", "agents", "views", "threshold", "trained")
_ORDER = {"full": 0, "overlap": 1, "majority": 2, "groups": 3}
#: Columns of the table in ``docs/results/byzantine.md``.
_COLUMNS = (
    "data", "sensors", "views", "τ", "trained", "vote", "seeds", "error correlation", "f",
    "no faults", "f faulty", "lost (worst seed)", "f + 1 faulty", "below half at",
)  # fmt: skip


def worst(team: dict[str, Any], vote: str = "curves") -> list[float]:
    """The normalised score under the worst fault, for 0 and more faulty sensors.

    Args:
        team: A result.
        vote: "curves" for the unweighted vote, "reliability" for the weighted one.
    """
    scores = [curve["normalized"] for curve in team[vote].values()]
    return [float(value) for value in np.min(scores, axis=0)]


def grouped(results: list[dict[str, Any]]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Results grouped by team, one per seed."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        key = tuple(result[name] for name in TEAM)
        groups.setdefault(key, []).append(result)
    return groups


def summary(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds: share of the clean score that is lost at the bound and beyond."""
    rows = []
    for key, everyone in grouped(results).items():
        for name, vote in (("equal", "curves"), ("reliability", "reliability")):
            if seeds := [seed for seed in everyone if vote in seed]:
                team = dict(zip(TEAM, key, strict=True))
                rows.append({**team, "vote": name, **_kept(seeds, vote)})
    return rows


def _kept(seeds: list[dict[str, Any]], vote: str) -> dict[str, Any]:
    scores = np.array([worst(seed, vote) for seed in seeds])
    bound = seeds[0]["bound"]
    clean, bounded = scores[:, 0], scores[:, : bound + 1].min(axis=1)
    beyond = scores[:, bound + 1].mean() if scores.shape[1] > bound + 1 else clean.mean()
    collapse = np.flatnonzero(scores.mean(axis=0) < 0.5 * clean.mean())
    positive = bool((clean > 0).all())
    return {
        "seeds": len(seeds),
        "bound": bound,
        "clean": float(clean.mean()),
        "at_bound": float(bounded.mean()),
        "lost": float(1 - bounded.mean() / clean.mean()) if clean.mean() > 0 else None,
        "lost_worst_seed": float(np.max(1 - bounded / clean)) if positive else None,
        "beyond": float(beyond),
        "halved_at": int(collapse[0]) if len(collapse) else None,
        "error_correlation": float(np.mean([seed["error_correlation"] for seed in seeds])),
    }


TITLES = {
    "full": "every sensor sees all",
    "overlap": "six of seven see each group",
    "majority": "five of seven see each group",
    "groups": "one or two of seven see each group",
}


def draw(results: list[dict[str, Any]], bayes: list[dict[str, Any]], path: Path) -> None:
    """Draw the score of seven sensors against faulty sensors: worst fault and mean of all."""
    from matplotlib.figure import Figure

    groups = grouped(results)
    datasets = sorted({key[0] for key in groups}, reverse=True)
    assignments = [v for v in TITLES if any(key[1:3] == (7, v) for key in groups)] or list(TITLES)
    figure = Figure(figsize=(1 + 4.5 * len(assignments), 4 * len(datasets)), layout="constrained")
    axes = figure.subplots(len(datasets), len(assignments), sharey=True, squeeze=False)
    for row, dataset in zip(axes, datasets, strict=True):
        for axis, views in zip(row, assignments, strict=True):
            _panel(axis, groups, dataset, views)
            for one in bayes if dataset == "synthetic" else ():
                if (one["agents"], one["views"]) == (7, views):
                    axis.plot(worst(one), color="grey", ls=":", label="Bayes' rules, worst")
            if axis.lines:
                axis.legend(fontsize=8)
        row[0].set_ylabel("normalised score (0 = constant, 1 = oracle)")
    for axis in axes[-1]:
        axis.set_xlabel("faulty sensors of 7")
    with atomic_path(path) as draft:
        figure.savefig(draft, dpi=120, format="png")


def _panel(axis: Any, groups: dict[tuple[Any, ...], Any], dataset: str, views: str) -> None:
    for key, seeds in groups.items():
        name, agents, seen, _, trained, *_ = key
        if (name, agents) == (dataset, 1):
            analyst = float(np.mean([worst(seed)[0] for seed in seeds]))
            axis.axhline(analyst, color="black", lw=0.8, ls="--", label="single analyst, honest")
        if (name, agents, seen) != (dataset, 7, views):
            continue
        color = {"clean": "tab:orange", "faulty": "tab:blue"}[trained]
        scores = np.array([worst(seed) for seed in seeds])
        means = np.mean([[c["normalized"] for c in s["curves"].values()] for s in seeds], axis=1)
        count = range(scores.shape[1])
        axis.plot(count, scores.mean(axis=0), color=color, marker="o", label=f"{trained}, worst")
        checked = [worst(seed, "reliability") for seed in seeds if "reliability" in seed]
        if checked and trained == "faulty":
            middle = np.mean(checked, axis=0)
            axis.plot(
                middle,
                color="tab:green",
                marker="s",
                label="faulty, reliability-weighted votes, worst",
            )
        axis.fill_between(count, scores.min(axis=0), scores.max(axis=0), color=color, alpha=0.2)
        axis.plot(count, means.mean(axis=0), color=color, ls="--", label=f"{trained}, mean fault")
        axis.axvspan(0, seeds[0]["bound"], color="tab:green", alpha=0.06)
    axis.set_ylim(-1.1, 1.05)
    axis.grid(alpha=0.3)
    axis.set_title(f"{dataset}: {TITLES[views]}")


def print_summary(rows: list[dict[str, Any]]) -> None:
    """Print the summary."""
    columns = [column.replace("_", " ") for column in rows[0]]
    cells = [list(row.values()) for row in rows]
    show("normalised score under the worst fault", columns, cells)


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """The table of ``docs/results/byzantine.md``: teams of seven, and those trained with faults."""
    shown = [row for row in rows if row["agents"] in (1, 7) or row["trained"] == "faulty"]
    ordered = sorted(
        shown, key=lambda r: (r["dataset"] != "synthetic", r["agents"], _ORDER[r["views"]])
    )
    return table_lines(_COLUMNS, map(_cells, ordered))


def _cells(row: dict[str, Any]) -> list[str]:
    lost = "all" if row["lost"] is None or row["lost"] >= 1 else f"{row['lost']:.1%}"
    if row["lost_worst_seed"] is not None and row["lost_worst_seed"] < 1:
        lost += f" ({row['lost_worst_seed']:.1%})"
    names = ("dataset", "agents", "views", "threshold", "trained", "vote", "seeds")
    return [
        *(str(row[name]) for name in names),
        f"{row['error_correlation']:.2f}",
        str(row["bound"]),
        *(f"{row[name]:.3f}" for name in ("clean", "at_bound")),
        lost.replace("%", " %"),
        f"{row['beyond']:.3f}",
        "never" if row["halved_at"] is None else str(row["halved_at"]),
    ]
