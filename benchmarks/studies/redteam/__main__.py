"""How much disguised attacks take from a team, and how much of that training against them saves.

``python -m benchmarks.studies.redteam study --folder DIR`` trains a plain team for every game
and seed, lets five best responses learn against it, then trains it in turns against attackers and
lets fresh best responses learn against that. ``unmet`` attacks these teams with disguises that
they never met. One JSON file is written per game and seed, so what was stopped goes on where it
was. ``table`` writes ``benchmarks/results/redteam.json`` and the tables of
``docs/results/redteam.md`` from the files that are there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from marl_stl_agents.redteam.result import RESULT
from marl_stl_agents.redteam.turns import run_redteam
from marl_stl_agents.run_data import describe_data
from marl_stl_agents.run_directory import DATA as DATA_FILE
from marl_stl_agents.run_directory import new_run, read_json, write_json
from marl_stl_agents.training.run import learn
from rich.console import Console

from benchmarks.common.tables import replace_section
from benchmarks.studies.redteam.settings import GAMES, SYNTHETIC, TURNS, attackers, team
from benchmarks.studies.redteam.tables import (
    KINDS,
    attack_table,
    column_table,
    summary,
    summary_table,
    unmet_summary,
    unmet_table,
    yardstick_table,
)
from benchmarks.studies.redteam.unmet import with_other_disguises
from benchmarks.studies.redteam.yardstick import exact_yardstick
from marl_stl_env.config import DataConfig
from marl_stl_env.data.prepare import prepare

_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Settings:
    """What to do.

    Attributes:
        what: "study" trains what is missing; "unmet" attacks the teams with other disguises;
            "table" writes down what there is.
        folder: Folder of the runs' JSON files.
        seeds: Seeds of every game.
        only: Games, such as "synthetic-8"; none means all.
        docs: The page that gets the tables.
        results: The file that gets the figures.
    """

    what: tyro.conf.Positional[Literal["study", "unmet", "table"]]
    folder: Path = Path("redteam")
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    only: tuple[str, ...] = ()
    docs: Path = _ROOT / "docs" / "results" / "redteam.md"
    results: Path = _ROOT / "benchmarks" / "results" / "redteam.json"

    def missing(self, kind: str = "") -> Iterator[tuple[str, int, Path]]:
        """Games and seeds that have no file of a kind yet, and the path of that file."""
        for seed, name in product(self.seeds, self.only or GAMES):
            path = self.folder / name / f"{kind}{seed}.json"
            if not path.exists():
                yield name, seed, path

    def teams(self, name: str, seed: int) -> dict[str, Path]:
        """The run directories of the two teams of a game and seed."""
        work, data = self.folder / "work", GAMES[name].data.dataset
        plain = work / f"plain-{data}" / str(seed)
        return {KINDS[0]: plain, KINDS[1]: work / name / str(seed) / f"turns-{TURNS}"}


def train_plain(data: DataConfig, seed: int, target: Path) -> None:
    """Train the plain team of a data set, which all its games share, if it is not there yet."""
    done = target.with_name(f"{target.name}.done")
    if done.is_file():
        return
    config = team(data, seed, target)
    prepared = prepare(config.task)
    shutil.rmtree(target, ignore_errors=True)
    path = new_run(config)
    write_json(path / DATA_FILE, describe_data(prepared))
    if not learn(config, path, prepared, torch.device("cpu")):
        raise SystemExit("stopped by a signal")
    done.touch()


def run(settings: Settings, name: str, seed: int) -> dict[str, Any]:
    """One game and seed: a plain team, attacked; trained in turns, and attacked again."""
    started, game = time.process_time(), GAMES[name]
    teams = settings.teams(name, seed)
    train_plain(game.data, seed, teams[KINDS[0]])
    found: dict[str, Any] = {"data": name, "seed": seed}
    trained = teams[KINDS[1]]
    targets = {0: trained.with_name("turns-0"), TURNS: trained}
    for kind, (turns, target) in zip(KINDS, targets.items(), strict=True):
        run_redteam(attackers(game, teams[KINDS[0]], target, seed, turns), print)
        found[kind] = read_json(target / RESULT)
    return found | {"cpu_seconds": time.process_time() - started}


def study(settings: Settings) -> None:
    """Train what has no file yet, seed after seed."""
    torch.set_num_threads(1)
    for name, seed, path in settings.missing():
        write_json(path, run(settings, name, seed))
        Console().print(f"{name}, seed {seed}: done")
    for name in settings.only or GAMES:
        yardstick = settings.folder / name / "yardstick.json"
        if GAMES[name].data == SYNTHETIC and not yardstick.exists():
            write_json(yardstick, exact_yardstick(GAMES[name]))


def unmet(settings: Settings) -> None:
    """Let greedy evasion meet the teams with disguises they never met."""
    torch.set_num_threads(1)
    for name, seed, path in settings.missing("unmet-"):
        if (settings.folder / name / f"{seed}.json").exists():
            teams = settings.teams(name, seed)
            write_json(path, {kind: with_other_disguises(run) for kind, run in teams.items()})


def write_tables(settings: Settings) -> None:
    """Write the figures, and the tables into the page."""
    runs = of_all_games(settings.folder, "[0-9]*")
    others = of_all_games(settings.folder, "unmet-*")
    exact = {name: one[0] for name, one in of_all_games(settings.folder, "yardstick").items()}
    content = {name: summary(one) for name, one in runs.items()}
    left = {name: unmet_summary(one) for name, one in others.items()}
    write_json(settings.results, content | {"unmet": left, "yardstick": exact})
    tables = {
        "summary": summary_table(runs),
        "attackers": attack_table(runs),
        "columns": column_table(runs),
        "unmet": unmet_table(others, exact),
        "yardstick": yardstick_table(exact),
    }
    for section, lines in tables.items():
        replace_section(settings.docs, section, lines)


def of_all_games(folder: Path, pattern: str) -> dict[str, list[dict[str, Any]]]:
    """The contents of the JSON files of a kind, by game; games without any are left out."""
    paths = {name: sorted((folder / name).glob(f"{pattern}.json")) for name in GAMES}
    return {name: [read_json(path) for path in some] for name, some in paths.items() if some}


if __name__ == "__main__":
    given = tyro.cli(Settings, description=__doc__)
    actions = {"study": study, "unmet": unmet, "table": write_tables}
    actions[given.what](given)
