"""Quality and speed of learning over seeds.

``python -m benchmarks.studies.learning study --folder DIR`` trains every setting of the results
with ten seeds, evaluates each team on the test split once, and writes one JSON file per run, so a
stopped study continues where it was. ``table`` writes the results in the folder to
``benchmarks/results/learning.json`` and the tables of ``docs/results/``. ``choices`` varies one
default at a time and evaluates on the validation split only: the defaults come from it.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import tyro
from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.tables import read_progress
from marl_stl_agents.evaluation.baselines import Baseline
from marl_stl_agents.evaluation.metrics import reward_per_event
from marl_stl_agents.evaluation.result import as_json
from marl_stl_agents.evaluation.rollout_metrics import baselines, result_of_rollout
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from marl_stl_agents.run_data import describe_data
from marl_stl_agents.run_directory import DATA, new_run, read_json, write_json
from marl_stl_agents.training.run import learn
from rich.console import Console
from safetensors.numpy import load_file, save_file

from benchmarks.common import tables as learning_table
from benchmarks.common.tables import QUALITY, RELATIVE
from benchmarks.studies.learning_settings import CHOICES, SETTINGS, Setting
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.files import atomic_path
from marl_stl_env.types import AnyArray, IntArray

_ROOT = Path(__file__).parents[2]
DOCS = _ROOT / "docs" / "results"
RESULTS = _ROOT / "benchmarks" / "results"
REACHED = 0.95
#: Keys of a run in ``learning.json``.
KEPT = ("seed", "decision", "baselines", "families", *QUALITY, *RELATIVE)
Evaluation = Literal["validation", "test"]


@dataclass(frozen=True)
class Settings:
    """What to do.

    Attributes:
        what: "study" evaluates on the test split, "choices" on the validation split; "table" writes
            down what a study has found.
        folder: Folder of the runs' JSON files.
        seeds: Seeds of every setting.
        only: Settings to train, by name; none means all.
        data_dir: Folder with the data files.
        workers: Processes; each takes one setting after the other.
        quick: A fifteenth of the iterations and two seeds, to see it work.
        docs: Folder of the page ``learning.md``, which gets the tables.
        results: Folder of ``learning.json``.
    """

    what: tyro.conf.Positional[Literal["study", "choices", "table"]]
    folder: Path = Path("learning")
    seeds: tuple[int, ...] = tuple(range(10))
    only: tuple[str, ...] = ()
    data_dir: Path | None = None
    workers: int = 2
    quick: bool = False
    docs: Path = DOCS
    results: Path = RESULTS

    @property
    def evaluated(self) -> Evaluation:
        """The split that teams are evaluated on."""
        return "test" if self.what == "study" else "validation"

    def chosen(self) -> dict[str, Setting]:
        """The settings to train, by name."""
        known = SETTINGS if self.what == "study" else CHOICES
        found = {name: one for name, one in known.items() if not self.only or name in self.only}
        if self.quick:
            found = {
                n: replace(s, iterations=s.iterations // 15, every=2) for n, s in found.items()
            }
        return {
            name: replace(
                one, env=replace(one.env, data=replace(one.env.data, data_dir=self.data_dir))
            )
            for name, one in found.items()
        }


def run(
    setting: Setting, seed: int, split: Evaluation, known: dict[str, Baseline]
) -> tuple[dict[str, Any], IntArray]:
    """Train once and evaluate the best checkpoint.

    Args:
        setting: What to train.
        seed: Seed of the run.
        split: The split to evaluate on.
        known: Baselines on that split.

    Returns:
        The evaluation, with the recall of seen and unseen attack families, the seconds and the
        CPU seconds of training, and those after which 95 % of the final score was reached;
        and the number of threat votes on every event.  # (rows,) int64
    """
    with tempfile.TemporaryDirectory() as folder:
        config = replace(setting.train_config(seed), run_dir=Path(folder) / "run")
        path, prepared = new_run(config), prepare(config.env)
        write_json(path / DATA, describe_data(prepared))
        started, cpu = time.perf_counter(), time.process_time()
        device = resolve_device(config.device, config.threads)
        if not learn(config, path, prepared, device):
            raise SystemExit("stopped by a signal")
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        space = observation_space(Engine(config.env, prepared.tables[split], lanes=1))
        policy = saved_policy(best_checkpoint(path), space, device)
        rollout = collect_rollout(config.env, prepared.tables[split], greedy(policy))
        reached = time_to_reach(path, config, prepared)
    whole = as_json(result_of_rollout(config.env, prepared, split, rollout, known))
    result = {name: value for name, value in whole.items() if value is not None}
    result |= {
        **pooled_recall(result["families"]),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "seconds_to_95": reached * cpu / seconds,
    }
    return result, rollout.votes.sum(axis=1)


def pooled_recall(families: dict[str, Any]) -> dict[str, float | None]:
    """Recall over all events of families in the training split, and of all other families."""
    pooled: dict[str, float | None] = {}
    for name, seen in (("recall_seen", True), ("recall_unseen", False)):
        chosen = [one for one in families.values() if one["seen_in_train"] is seen]
        events = sum(one["events"] for one in chosen)
        caught = sum(one["events"] * one["recall"] for one in chosen)
        pooled[name] = caught / events if events else None
    return pooled


def time_to_reach(run_dir: Path, config: TrainConfig, prepared: PreparedData) -> float:
    """Seconds until the validation score first reached 95 % of its final value.

    The score is the reward minus that of the best constant policy.
    """
    labels, reward = prepared.tables["validation"].labels, config.env.reward
    constant = max(reward_per_event(labels, labels.astype("int8") * 0 + a, reward) for a in (0, 1))
    progress = read_progress(run_dir)
    evaluated = progress[progress["validation/reward_per_event"].notna()]
    gained = evaluated["validation/reward_per_event"].to_numpy() - constant
    elapsed = progress["time/time_elapsed"].ffill().loc[evaluated.index].to_numpy()
    return float(elapsed[(gained >= REACHED * gained[-1]).argmax()])


def run_file(folder: Path, name: str, seed: int) -> Path:
    """File of the result of one run."""
    return folder / re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") / f"{seed}.json"


def references(settings: Settings, name: str) -> dict[str, Baseline]:
    """The baselines of a setting, evaluated once and then read from the folder."""
    path = run_file(settings.folder, name, 0).with_name(f"{settings.evaluated}.safetensors")
    if not path.exists():
        env = settings.chosen()[name].env
        found = baselines(env, prepare(env), settings.evaluated)
        arrays: dict[str, AnyArray] = {f"decisions {k}": one.decisions for k, one in found.items()}
        arrays |= {f"scores {k}": one.scores for k, one in found.items() if one.scores is not None}
        with atomic_path(path) as draft:
            save_file(arrays, draft)
    arrays = load_file(path)
    names = [key.removeprefix("decisions ") for key in arrays if key.startswith("decisions ")]
    return {n: Baseline(arrays[f"decisions {n}"], arrays.get(f"scores {n}")) for n in names}


def train_setting(settings: Settings, name: str) -> str:
    """Train a setting with every seed that has no result yet."""
    for seed in settings.seeds[:2] if settings.quick else settings.seeds:
        path = run_file(settings.folder, name, seed)
        if not path.exists():
            known = references(settings, name)
            result, votes = run(settings.chosen()[name], seed, settings.evaluated, known)
            with atomic_path(path.with_suffix(".safetensors")) as draft:
                save_file({"votes": votes}, draft)
            write_json(path, {"setting": name, "seed": seed, **result})
    return name


def collect(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The results in a folder by setting, in the order of the settings, by seed."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in folder.glob("*/*.json"):
        result = read_json(path)
        found[result["setting"]].append({**result["decision"], **result})
    order = [*SETTINGS, *CHOICES]
    return {
        name: sorted(found[name], key=lambda one: one["seed"])
        for name in sorted(found, key=order.index)
    }


def write_tables(settings: Settings) -> None:
    """Write the JSON, and the tables into the page."""
    found = collect(settings.folder)
    write_json(
        settings.results / "learning.json",
        {name: [{key: one[key] for key in KEPT} for one in runs] for name, runs in found.items()},
    )
    tables = (
        learning_table.quality_table(found),
        learning_table.relative_table(found),
        learning_table.reference_table(found),
    )
    lines = [line for table in tables for line in ("", *table)]
    learning_table.replace_section(settings.docs / "learning.md", "learning", lines[1:])


def main(settings: Settings) -> None:
    """Train missing runs and print the table, or write the tables."""
    if settings.what == "table":
        write_tables(settings)
        return
    console = Console()
    with ProcessPoolExecutor(settings.workers, get_context("spawn")) as pool:
        names = list(settings.chosen())
        for name in pool.map(train_setting, [settings] * len(names), names):
            console.print(f"{name}: done")
    found = {name: runs for name, runs in collect(settings.folder).items() if name in names}
    for line in learning_table.quality_table(found) + learning_table.relative_table(found):
        console.print(line, soft_wrap=True, markup=False)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
