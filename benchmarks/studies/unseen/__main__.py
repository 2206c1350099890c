"""Attacks nobody has seen: the choice of the preset ``unseen``, its test, and known attacks.

``python -m benchmarks.studies.unseen select --folder DIR --data-dir DATA`` trains the candidates on
every fold of every world (``benchmarks.common.worlds``) and prints what they are worth on the
families that were left out. KDDTest+ is not used. ``test`` trains the preset on NSL-KDD's training
file and evaluates it on KDDTest+. ``known`` trains teams with and without second opinions where all
families are known. What stands in the folder is not made again. ``table`` writes what "known" has
left in the folder for a split into ``benchmarks/results/known_attacks.json`` and the page.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_agents.evaluation.baselines import simple_baselines
from marl_stl_agents.evaluation.byzantine import byzantine_metrics
from marl_stl_agents.evaluation.result import as_json
from marl_stl_agents.evaluation.rollout_metrics import result_of_rollout
from marl_stl_agents.evaluation.rollouts import collect_rollout
from marl_stl_agents.run_directory import read_json, write_json
from rich.console import Console

from benchmarks.common.measure import show
from benchmarks.common.tables import (
    family_table,
    ratio_table,
    reference_table,
    replace_section,
)
from benchmarks.common.teams import train_team
from benchmarks.common.worlds import WORLDS
from benchmarks.leaderboard.open_world import FoldResult, open_result, results_of
from benchmarks.studies.learning import DOCS, RESULTS, Evaluation
from benchmarks.studies.unseen.candidates import CANDIDATES
from benchmarks.studies.unseen.known import SETTINGS, finished, known_attacks
from marl_stl_env.config import StlConfig
from marl_stl_env.data.prepare import prepare

#: Families with fewer events are not in the table of families.
FEW = 50


@dataclass(frozen=True)
class Settings:
    """Settings of the study.

    Attributes:
        what: What to do.
        folder: Folder for the figures, a JSON file each.
        data_dir: Folder with the data files.
        only: Candidates, or settings of "known", by name; none means all.
        worlds: Worlds, by name; none means all.
        folds: Folds of each world, at most.
        seeds: Seeds of the trainings.
        split: The split that "known" evaluates on.
        results: Folder of the JSON file of "table".
        docs: Folder of its page.
    """

    what: tyro.conf.Positional[Literal["select", "test", "known", "table"]]
    folder: Path
    data_dir: Path | None = None
    only: tuple[str, ...] = ()
    worlds: tuple[str, ...] = ()
    folds: int = 5
    seeds: tuple[int, ...] = (0,)
    split: Evaluation = "validation"
    results: Path = RESULTS
    docs: Path = DOCS


def select(settings: Settings) -> None:
    """Train the candidates on the folds, and print each at every threshold of its vote."""
    worlds = settings.worlds or tuple(WORLDS)
    for name in settings.only or CANDIDATES:
        by_votes: dict[int, list[FoldResult]] = {}
        for seed in settings.seeds:
            given = (
                name,
                CANDIDATES[name],
                seed,
                settings.folder,
                settings.data_dir,
                worlds,
                settings.folds,
            )
            for found in results_of(*given):
                for votes, one in found.items():
                    by_votes.setdefault(votes, []).append(one)
        columns = ["votes", "mean", *worlds, "recall", "false alarms"]
        show(name, columns, [_row(votes, found) for votes, found in by_votes.items()])


def _row(votes: int, found: list[FoldResult]) -> list[Any]:
    one = open_result(None, found)
    return [votes, one.normalized_score, *one.worlds.values(), one.recall, one.false_alarms]


def test(settings: Settings) -> None:
    """Train the preset on NSL-KDD's training file, and evaluate it on KDDTest+ once per seed."""
    found = []
    for seed in settings.seeds:
        file = settings.folder / f"kddtest-{seed}.json"
        if not file.exists():
            write_json(file, kdd_test(settings.data_dir, seed))
        found.append(read_json(file))
    names = ("f1", "precision", "recall", "reward_per_event")
    rows = [
        [seed, *(one["decision"][name] for name in names), *one["byzantine"].values()]
        for seed, one in zip(settings.seeds, found, strict=True)
    ]
    show("KDDTest+", ["seed", *names, *found[0]["byzantine"]], rows)
    _print(family_table(found, FEW))


def known(settings: Settings) -> None:
    """Train teams with and without second opinions, and print each beside its references."""
    chosen = {name: SETTINGS[name] for name in settings.only or SETTINGS}
    found = known_attacks(
        settings.folder, settings.data_dir, settings.seeds, settings.split, chosen
    )
    _print([*ratio_table(found), *reference_table(found)])


def write_table(settings: Settings) -> None:
    """Write the JSON file of known attacks, and the table into the page.

    Raises:
        FileNotFoundError: If the folder has no evaluation on the split.
    """
    found = finished(settings.folder, settings.split)
    if not found:
        raise FileNotFoundError(
            f'{settings.folder / settings.split} holds no evaluation; run "known" first, or give '
            "another --split"
        )
    write_json(settings.results / "known_attacks.json", found)
    replace_section(settings.docs / "unseen-attacks.md", "known", ratio_table(found))


def _print(lines: list[str]) -> None:
    for line in lines:
        Console().print(line, soft_wrap=True, markup=False)


def kdd_test(data_dir: Path | None, seed: int) -> dict[str, Any]:
    """One seed of the preset ``unseen`` on KDDTest+, honest and with two Byzantine sensors."""
    preset = PRESETS["unseen"].settings()
    data = replace(preset.env.data, dataset="nsl-kdd", data_dir=data_dir, split_seed=seed)
    env = replace(preset.env, data=data, stl=StlConfig(monitor=False))
    prepared = prepare(env)
    act = train_team(env, seed, preset.iterations, preset.ppo, data=prepared)
    table = prepared.tables["test"]
    rollout = collect_rollout(env, table, act)
    known = simple_baselines(env, table.labels)
    figures = as_json(result_of_rollout(env, prepared, "test", rollout, known))
    worst = {
        f"{faulty} faulty": min(one.reward_per_event for one in found if one.faulty == faulty)
        for found in [byzantine_metrics(env, table, act, rollout)]
        for faulty in (1, 2)
    }
    return {"decision": figures["decision"], "families": figures["families"], "byzantine": worst}


if __name__ == "__main__":
    _settings = tyro.cli(Settings, description=__doc__)
    _do = {"select": select, "test": test, "known": known, "table": write_table}[_settings.what]
    _do(_settings)
