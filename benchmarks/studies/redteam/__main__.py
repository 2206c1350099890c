"""How much disguised attacks take from a team, and how much of that training against them saves.

``python -m benchmarks.studies.redteam study --folder DIR`` trains a plain team for every game
and seed, lets a best response learn against it, then trains it in turns against attackers and lets
a fresh best response learn against that. One JSON file is written per game and seed, so a
stopped study goes on where it was. ``responses`` then trains five best responses to each of the
teams of the first seed, and ``unmet`` attacks these with disguises that they never met. ``table``
writes ``benchmarks/results/redteam.json`` and the
tables of ``docs/results/redteam.md`` from the files that are there.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
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
from benchmarks.studies.redteam.settings import (
    GAMES,
    RESPONSE_SEED,
    RESPONSES,
    TURNS,
    attackers,
    team,
)
from benchmarks.studies.redteam.tables import (
    KINDS,
    attack_table,
    column_table,
    response_table,
    summary,
    summary_table,
    unmet_table,
    yardstick_table,
)
from benchmarks.studies.redteam.unmet import with_other_disguises
from benchmarks.studies.redteam.yardstick import exact_yardstick
from marl_stl_env.data.prepare import prepare

_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Settings:
    """What to do.

    Attributes:
        what: "study" trains what is missing; "responses" attacks the teams of the first seed again;
            "unmet" does so with other disguises; "table" writes down what there is.
        folder: Folder of the runs' JSON files.
        seeds: Seeds of every game.
        only: Games, such as "synthetic-8"; none means all.
        docs: The page that gets the tables.
        results: The file that gets the figures.
    """

    what: tyro.conf.Positional[Literal["study", "responses", "unmet", "table"]]
    folder: Path = Path("redteam")
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    only: tuple[str, ...] = ()
    docs: Path = _ROOT / "docs" / "results" / "redteam.md"
    results: Path = _ROOT / "benchmarks" / "results" / "redteam.json"


def run(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """One team: plain, attacked, trained in turns, attacked again.

    Args:
        name: The game.
        seed: Seed of everything.
        folder: Where its runs are kept while it is not done.
    """
    started = time.process_time()
    config = team(name, seed, folder / "plain")
    prepared = prepare(config.task)
    done = folder / "trained"
    if not done.is_file():
        shutil.rmtree(folder / "plain", ignore_errors=True)
        path = new_run(config)
        write_json(path / DATA_FILE, describe_data(prepared))
        if not learn(config, path, prepared, torch.device("cpu")):
            raise SystemExit("stopped by a signal")
        done.touch()
    found: dict[str, Any] = {"data": name, "seed": seed}
    for kind, turns in zip(KINDS, (0, TURNS), strict=True):
        target = folder / f"turns-{turns}"
        run_redteam(attackers(name, folder / "plain", target, seed, turns), print)
        found[kind] = read_json(target / RESULT)
    return found | {"cpu_seconds": time.process_time() - started}


def study(settings: Settings) -> None:
    """Train what has no file yet, seed after seed."""
    torch.set_num_threads(1)
    for seed in settings.seeds:
        for name in GAMES:
            path = settings.folder / name / f"{seed}.json"
            if path.exists() or (settings.only and name not in settings.only):
                continue
            work = settings.folder / "work" / name / str(seed)
            work.mkdir(parents=True, exist_ok=True)
            write_json(path, run(name, seed, work))
            Console().print(f"{name}, seed {seed}: done")
    for name, game in GAMES.items():
        yardstick = settings.folder / name / "yardstick.json"
        if game.data.dataset == "synthetic" and not yardstick.exists():
            yardstick.parent.mkdir(parents=True, exist_ok=True)
            write_json(yardstick, exact_yardstick(game))


def respond(settings: Settings) -> None:
    """Five best responses to the plain and to the trained team of the first seed."""
    torch.set_num_threads(1)
    seed = settings.seeds[0]
    for name in GAMES:
        path = settings.folder / name / "responses.json"
        work = settings.folder / "work" / name / str(seed)
        teams = {KINDS[0]: work / "plain", KINDS[1]: work / f"turns-{TURNS}"}
        done = (settings.folder / name / f"{seed}.json").exists()
        if path.exists() or not done or (settings.only and name not in settings.only):
            continue
        found: dict[str, Any] = {"data": name, "seed": seed}
        for kind, team_run in teams.items():
            target = work / f"responses-{team_run.name}"
            wanted = attackers(name, team_run, target, RESPONSE_SEED, turns=0, responses=RESPONSES)
            run_redteam(wanted, print)
            found[kind] = read_json(target / RESULT)["exploitability"]
        write_json(path, found)


def unmet(settings: Settings) -> None:
    """Let greedy evasion meet the teams of the first seed with disguises they never met."""
    torch.set_num_threads(1)
    seed = settings.seeds[0]
    for name in GAMES:
        path = settings.folder / name / "unmet.json"
        work = settings.folder / "work" / name / str(seed)
        teams = {KINDS[0]: work / "plain", KINDS[1]: work / f"turns-{TURNS}"}
        done = (settings.folder / name / f"{seed}.json").exists()
        wanted = not settings.only or name in settings.only
        if wanted and done and not path.exists():
            found = {kind: with_other_disguises(run) for kind, run in teams.items()}
            write_json(path, found)


def collect(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What there is, by game and seed."""
    return {
        name: [read_json(path) for path in sorted((folder / name).glob("[0-9]*.json"))]
        for name in GAMES
    }


def write_tables(settings: Settings) -> None:
    """Write the figures, and the tables into the page."""
    found = {name: runs for name, runs in collect(settings.folder).items() if runs}
    content: dict[str, Any] = {name: summary(runs) for name, runs in found.items()}
    tables = {"responses": response_table, "unmet": unmet_table, "yardstick": yardstick_table}
    for kind, table in tables.items():
        there = {name: settings.folder / name / f"{kind}.json" for name in found}
        content[kind] = {name: read_json(path) for name, path in there.items() if path.exists()}
        replace_section(settings.docs, kind, table(content[kind]))
    write_json(settings.results, content)
    replace_section(settings.docs, "summary", summary_table(found))
    replace_section(settings.docs, "attackers", attack_table(found))
    replace_section(settings.docs, "columns", column_table(found))


if __name__ == "__main__":
    given = tyro.cli(Settings, description=__doc__)
    actions = {"study": study, "responses": respond, "unmet": unmet, "table": write_tables}
    actions[given.what](given)
