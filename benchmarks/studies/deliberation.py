"""The benefit of deliberation: four sensors with partial views, with and without it.

``python -m benchmarks.studies.deliberation --data-dir DIR --out deliberation.json``

Scores are normalised and measured on the test split. Deliberation takes two agent-steps per event
and so gets twice the rollouts: all teams learn from the same number of events. The gap is that
between the vote of partial views and a team whose sensors see all columns.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from marl_stl_agents.evaluation.byzantine import AWAKE_FAULTS, decide_with_faults
from marl_stl_agents.evaluation.rollouts import collect_rollout
from marl_stl_agents.run_directory import read_json, write_json

from benchmarks.common.measure import show
from benchmarks.common.partial import PARTIAL
from benchmarks.common.tables import replace_section, table_lines
from benchmarks.common.teams import PPO, f1, normalized, train_team
from marl_stl_env.config import DataConfig, FaultConfig, RewardConfig
from marl_stl_env.data.prepare import prepare

DATASETS = {
    "synthetic": PARTIAL,
    "nsl-kdd": replace(
        PARTIAL, data=DataConfig(dataset="nsl-kdd", split_method="stratified", threat_rate=0.109)
    ),
}
#: Rewards of a sensor's own vote are best if every sensor has nearly all information: with full
#: views (docs/results/defaults.md), and after proposals (``synthetic``, validation split, seed 100,
#: 90 rollouts: 0.80 and 0.81, against 0.78 with a team share of 1).
OWN = RewardConfig(team_share=0.0)
#: Without a reward of their own, proposals are learned from the team's reward alone, and drift to
#: noise with the default entropy bonus (validation split, seed 100, 30 rollouts: 0.43 with 0.02,
#: 0.55 with 0.002).
UNPAID = RewardConfig(team_share=0.8, proposal_weight=0.0)
TRAINERS = {"deliberation, unpaid": replace(PPO, entropy_coefficient=0.002)}
#: How the names of teams with a warm start end. After it steps are smaller, with less exploration
#: (validation split, seed 100).
WARM = ", warm start"
_WARM = replace(PPO, learning_rate=5e-4, entropy_coefficient=0.01)
WARM_START = 15
TEAMS: dict[str, dict[str, Any]] = {
    "full views": {"views": "full", "reward": OWN},
    "vote": {},
    "deliberation": {"reward": OWN, "deliberation": 1},
    "deliberation, unpaid": {"reward": UNPAID, "deliberation": 1},
    "full views, warm start": {"views": "full", "reward": OWN},
    "vote, warm start": {},
    "deliberation, warm start": {"reward": OWN, "deliberation": 1},
    "vote, trained with a Byzantine sensor": {"faults": FaultConfig(1)},
    "deliberation, trained with a Byzantine sensor": {
        "reward": OWN,
        "deliberation": 1,
        "faults": FaultConfig(1),
    },
}


@dataclass(frozen=True)
class Settings:
    """What to train and evaluate.

    Attributes:
        datasets: "synthetic" and/or "nsl-kdd" (stratified, 10.9 % threats).
        only: Teams to train, by name; none means all.
        seeds: Seeds of every team.
        iterations: Rollouts of 16,000 agent-steps without deliberation; twice as many with it.
        data_dir: Folder with the data files.
        quick: One seed and one iteration, to see it work.
        out: JSON file to write, rewritten after every team; teams in it are not trained again.
        docs: Page whose section "deliberation" becomes the table of the results.
    """

    datasets: tuple[str, ...] = tuple(DATASETS)
    only: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    iterations: int = 30
    data_dir: Path | None = None
    quick: bool = False
    out: Path | None = None
    docs: Path | None = None


def study(dataset: str, name: str, seed: int, settings: Settings) -> dict[str, Any]:
    """Train one team and evaluate it, honest and with one Byzantine sensor of every kind."""
    env = replace(
        DATASETS[dataset],
        data=replace(DATASETS[dataset].data, data_dir=settings.data_dir),
        **TEAMS[name],
    )
    iterations = 1 if settings.quick else settings.iterations * (1 + env.deliberation)
    start = time.process_time()
    warm = name.endswith(WARM)
    trainer = _WARM if warm else TRAINERS.get(name, PPO)
    act = train_team(env, seed, iterations, trainer, WARM_START if warm else 0)
    seconds = time.process_time() - start
    env, table = replace(env, faults=FaultConfig()), prepare(env).tables["test"]
    rollout = collect_rollout(env, table, act)
    byzantine = {
        fault: decide_with_faults(env, table, act, rollout, FaultConfig(1, fault))
        for fault in AWAKE_FAULTS
    }
    return {
        "dataset": dataset,
        "team": name,
        "seed": seed,
        "cpu_seconds": seconds,
        "normalized": normalized(env, table, rollout.decisions),
        "f1": f1(table, rollout.decisions),
        "byzantine": {fault: normalized(env, table, one) for fault, one in byzantine.items()},
    }


def summary(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, and the share of the gap that each team closes."""
    rows = []
    for dataset in dict.fromkeys(result["dataset"] for result in results):
        here = [result for result in results if result["dataset"] == dataset]
        means = {
            name: np.mean([r["normalized"] for r in here if r["team"] == name])
            for name in dict.fromkeys(r["team"] for r in here)
        }
        for name, mean in means.items():
            seeds = [r for r in here if r["team"] == name]
            rewards = {f: float(np.mean([r["byzantine"][f] for r in seeds])) for f in AWAKE_FAULTS}
            scores = [r["normalized"] for r in seeds]
            # Teams with a warm start are compared among themselves.
            among = WARM if name.endswith(WARM) else ""
            vote = means.get(f"vote{among}", np.nan)
            gap = means.get(f"full views{among}", np.nan) - vote
            rows.append(
                {
                    "dataset": dataset,
                    "team": name,
                    "seeds": len(seeds),
                    "normalized": float(mean),
                    "range": [min(scores), max(scores)],
                    "f1": float(np.mean([r["f1"] for r in seeds])),
                    "gap_closed": float((mean - vote) / gap) if gap > 0 else None,
                    "byzantine_mean": float(np.mean(list(rewards.values()))),
                    "byzantine_worst": min(rewards.values()),
                    "cpu_seconds": float(np.mean([r["cpu_seconds"] for r in seeds])),
                }
            )
    return rows


def print_summary(rows: list[dict[str, Any]]) -> None:
    """Print the summary."""
    columns = [name for name in rows[0] if name != "range"]
    cells = [[row[column] for column in columns] for row in rows]
    show("normalised score", [column.replace("_", " ") for column in columns], cells)


_COLUMNS = (
    "data", "team", "seeds", "honest", "F1", "gap closed", "one Byzantine sensor, mean", "worst",
    "CPU s of training",
)  # fmt: skip


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """The summary as the table of ``docs/results/deliberation.md``."""
    return table_lines(_COLUMNS, map(_cells, rows))


def _cells(row: dict[str, Any]) -> list[str]:
    low, high = row["range"]
    closed = row["gap_closed"]
    return [
        *(str(row[name]) for name in ("dataset", "team", "seeds")),
        f"{row['normalized']:.3f} ({low:.3f} … {high:.3f})",
        f"{row['f1']:.3f}",
        "" if closed is None else f"{closed:.0%}".replace("%", " %"),
        *(f"{row[name]:.3f}" for name in ("byzantine_mean", "byzantine_worst")),
        f"{row['cpu_seconds']:.0f}",
    ]


def main(settings: Settings) -> None:
    """Train, write and print."""
    results: list[dict[str, Any]] = []
    if settings.out is not None and settings.out.exists():
        results = read_json(settings.out)["teams"]
    done = {(result["dataset"], result["team"], result["seed"]) for result in results}
    for seed in settings.seeds[:1] if settings.quick else settings.seeds:
        for dataset in settings.datasets:
            for name in settings.only or TEAMS:
                if (dataset, name, seed) in done:
                    continue
                results.append(study(dataset, name, seed, settings))
                print(dataset, name, seed, f"{results[-1]['normalized']:.3f}", flush=True)
                if settings.out is not None:
                    content = {"iterations": settings.iterations, "summary": summary(results)}
                    write_json(settings.out, {**content, "teams": results})
    print_summary(summary(results))
    if settings.docs is not None:
        replace_section(settings.docs, "deliberation", markdown(summary(results)))


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
