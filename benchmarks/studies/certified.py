"""One team that keeps its specifications with Byzantine sensors among it: the preset `certified`.

``python -m benchmarks.studies.certified train --folder DIR`` trains the preset with every seed,
and with ``--only NAME`` what is changed for an ablation. Every finished training is evaluated on
fresh episodes, with honest sensors and under each kind of fault, and leaves one JSON file, so that
a study that was stopped goes on where it stood. ``table`` prints what the folder holds.

Settings are chosen on the validation split (seed 1, 512 episodes of the last weights): of the
trainings tried, the one whose worst condition satisfies all specifications most often; between
equals, the one with the higher reward. The test split is evaluated at the end, with
``--split test``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_agents.config import ConstraintConfig, EvaluateConfig, TrainConfig
from marl_stl_agents.evaluation.rollouts import Act, greedy
from marl_stl_agents.evaluation.spec_faults import specs_under_faults
from marl_stl_agents.evaluation.stl import stl_metrics, watch
from marl_stl_agents.run_directory import DATA, new_run, read_json, write_json
from marl_stl_agents.training.run import learn

from benchmarks.common.measure import show
from benchmarks.studies.certified_rules import EvidenceRule
from marl_stl_env.config import DataConfig, FaultConfig, Split, Views
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.stl.specs import CONJUNCTION
from marl_stl_env.types import Float32Array, Float64Array, Int8Array

PRESET = replace(PRESETS["certified"].settings(), backend="native", preflight=False, progress=False)
#: Real traffic with entities and times, split in time order.
REAL_DATA = {
    "unsw-nb15-raw": DataConfig(dataset="unsw-nb15-raw", split_method="temporal"),
    "ctu-13": DataConfig(
        dataset="ctu-13", split_method="temporal", dataset_options=("pattern=scenario12*",)
    ),
    "zeek": DataConfig(dataset="zeek", split_method="temporal"),
}
#: PPO alone needs larger steps, more exploration and more iterations.
_COLD = replace(
    PRESET,
    warm_start=0,
    iterations=100,
    ppo=replace(PRESET.ppo, learning_rate=1e-3, entropy_coefficient=0.03),
)
_FOUR_VIEWS = replace(PRESET.env, agents=4, views="groups", faults=FaultConfig())
#: One update with steps of no size.
WARM_ALONE = replace(PRESET, iterations=1, ppo=replace(PRESET.ppo, learning_rate=1e-12))
#: The preset, what is taken away from it for the ablation, and the preset on other data.
SETTINGS: dict[str, TrainConfig] = {
    "certified": PRESET,
    "without warm start": _COLD,
    "warm start alone": WARM_ALONE,
    "without shield": replace(
        PRESET, env=replace(PRESET.env, stl=replace(PRESET.env.stl, shield=False))
    ),
    "without entity credit": replace(PRESET, ppo=replace(PRESET.ppo, credit="lane")),
    # As many times the budget as there are priced specifications: each may fail in 1 %.
    "without joint budget": replace(PRESET, constraints=ConstraintConfig(budget=0.03)),
    "sampled rates": replace(PRESET, constraints=ConstraintConfig(rates="sampled")),
    "without faults in training": replace(PRESET, env=replace(PRESET.env, faults=FaultConfig())),
    "stratified split": replace(PRESET, env=replace(PRESET.env, data=DataConfig())),
    # A network for each sensor, since all see different things. PPO makes this team worse.
    "four views": replace(
        WARM_ALONE,
        env=_FOUR_VIEWS,
        ppo=replace(WARM_ALONE.ppo, sharing="independent"),
        warm_start=30,
    ),
    "four views, without warm start": replace(_COLD, env=_FOUR_VIEWS),
    **{
        name: replace(PRESET, env=replace(PRESET.env, data=data))
        for name, data in REAL_DATA.items()
    },
    **{
        f"{name}, without warm start": replace(_COLD, env=replace(PRESET.env, data=data))
        for name, data in REAL_DATA.items()
    },
}


def rule_setting(config: TrainConfig, views: Views) -> TrainConfig:
    """The setting of a rule: the same shield and data, other views, and nobody faulty."""
    agents = 4 if views == "groups" else config.env.agents
    env = replace(config.env, agents=agents, views=views, faults=FaultConfig())
    return replace(config, env=env)


#: Rules that need no training, under the same shield.
RULES: dict[str, TrainConfig] = {
    "rule, all columns": rule_setting(PRESET, "full"),
    "rule, overlapping views": rule_setting(PRESET, "overlap"),
    "rule, four views": rule_setting(PRESET, "groups"),
    **{f"rule, {name}": rule_setting(SETTINGS[name], "full") for name in REAL_DATA},
}
#: The trained teams of the preset with one more faulty sensor than the vote tolerates.
BEYOND = "beyond f"
#: What ignores every event, under the same shield.
CONSTANTS: dict[str, TrainConfig] = {
    "always allow": PRESET,
    **{f"always allow, {name}": SETTINGS[name] for name in REAL_DATA},
}


@dataclass(frozen=True)
class Settings:
    """What to do.

    Attributes:
        what: "train" trains and evaluates; "table" shows what was found.
        folder: Folder of the JSON files.
        seeds: Seeds of every setting.
        only: Settings to train, rules or constants, by name.
        split: The split on which trained teams are evaluated.
        episodes: Episodes of the honest team and of each kind of fault.
        quick: Two iterations of two lanes and 20 episodes, to see it work.
    """

    what: tyro.conf.Positional[Literal["train", "table"]]
    folder: Path = Path("certified")
    seeds: tuple[int, ...] = tuple(range(10))
    only: tuple[str, ...] = ("certified",)
    split: Split = "validation"
    episodes: int = 1000
    quick: bool = False


def run(name: str, seed: int, settings: Settings) -> dict[str, Any]:
    """Train once where there is something to train, and evaluate.

    A trained team is the checkpoint that is best on validation.
    """
    started = time.process_time()
    if name in RULES:
        config = RULES[name]
        prepared = prepare(config.task)
        act = EvidenceRule().act(config.task, prepared)
    elif name in CONSTANTS:
        config, act = CONSTANTS[name], _allow
        prepared = prepare(config.task)
    elif name == BEYOND:
        config, prepared = PRESET, prepare(PRESET.task)
        act = _checkpoint(config, prepared, settings.folder / f"certified-{seed}", settings.split)
    else:
        config, prepared, act = _trained(name, seed, settings)
    seconds = time.process_time() - started
    task = config.task
    faulty = task.consensus.faulty_for(task.agents) + (name == BEYOND)
    return {
        "setting": name,
        "seed": seed,
        "split": settings.split,
        "cpu_seconds": seconds,
        **evaluated(config, prepared, act, settings, faulty),
    }


def _allow(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
    return np.zeros(len(observations), np.int8), np.zeros(len(observations))


def _trained(name: str, seed: int, settings: Settings) -> tuple[TrainConfig, PreparedData, Act]:
    config = replace(SETTINGS[name], seed=seed)
    if settings.quick:
        config = replace(config, lanes=2, iterations=2, ppo=replace(config.ppo, batch_size=512))
    prepared = prepare(config.task)
    folder = settings.folder / f"{name.replace(' ', '-')}-{seed}"
    made = new_run(replace(config, run_dir=folder))
    write_json(made / DATA, {})
    learn(config, made, prepared, resolve_device("cpu", 1))
    return config, prepared, _checkpoint(config, prepared, made, settings.split)


def _checkpoint(config: TrainConfig, prepared: PreparedData, folder: Path, split: Split) -> Act:
    space = observation_space(Engine(config.task, prepared.tables[split], lanes=1))
    return greedy(saved_policy(best_checkpoint(folder), space, resolve_device("cpu", 1)))


def evaluated(
    config: TrainConfig, prepared: PreparedData, act: Act, settings: Settings, faulty: int
) -> dict[str, Any]:
    """Satisfaction, reward and certificate with honest sensors and under each kind of fault."""
    env = replace(config.task, faults=FaultConfig())
    table = prepared.tables[settings.split]
    rules = EvaluateConfig(certify=20 if settings.quick else settings.episodes)
    watched = watch(env, table, act, rules.certify or 0)
    specs = stl_metrics(env, table, watched, rules)
    faults = {one.fault: one for one in specs_under_faults(env, table, act, rules, faulty=faulty)}
    return {
        "honest": {
            "satisfied": specs[CONJUNCTION].satisfied,
            "reward": float(watched.rewards.mean()),
            "certified": specs[CONJUNCTION].certified,
            "each": {spec: one.satisfied for spec, one in specs.items()},
        },
        "faults": {
            fault: {
                "faulty": one.faulty,
                "satisfied": one.conjunction,
                "reward": one.reward_per_event,
                "certified": one.certified,
            }
            for fault, one in faults.items()
        },
    }


def train(settings: Settings) -> None:
    """Train and evaluate what the folder does not hold yet."""
    for seed in settings.seeds:
        for name in settings.only:
            path = settings.folder / f"{settings.split}-{name.replace(' ', '-')}-{seed}.json"
            if not path.is_file():
                found = run(name, seed, settings)
                write_json(path, found)
                honest = found["honest"]
                print(f"{name}, seed {seed}: {honest['satisfied']:.3f}, {honest['reward']:.3f}")


def interquartile_mean(values: list[float]) -> float:
    """Mean of the middle half (Agarwal et al. 2021, "Deep RL at the edge of the precipice")."""
    from scipy.stats import trim_mean

    return float(trim_mean(values, 0.25))


def interval(values: list[float]) -> tuple[float, float]:
    """95 % interval of the interquartile mean, by bootstrap over seeds."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(values, (2000, len(values)))
    means = [interquartile_mean(row.tolist()) for row in drawn]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def table(settings: Settings) -> None:
    """Print satisfaction and reward of every setting, honest and under each kind of fault."""
    runs = [read_json(path) for path in sorted(settings.folder.glob(f"{settings.split}-*.json"))]
    for name in (*SETTINGS, BEYOND, *RULES, *CONSTANTS):
        own = [one for one in runs if one["setting"] == name]
        if own:
            show(
                f"{name}: {len(own)} seeds, {settings.split} split, "
                f"{np.mean([one['cpu_seconds'] for one in own]):.0f} CPU s each",
                ("sensors", "all satisfied", "low", "high", "certified", "reward"),
                [_row(condition, own) for condition in ("honest", *own[0]["faults"])]
                + [_mean_row(own)],
            )


def _row(condition: str, runs: list[Mapping[str, Any]]) -> list[Any]:
    found = [one["honest"] if condition == "honest" else one["faults"][condition] for one in runs]
    satisfied = [one["satisfied"] for one in found]
    certified = sum(one["certified"] for one in found)
    return [
        condition,
        interquartile_mean(satisfied),
        *interval(satisfied),
        f"{certified} of {len(found)}",
        interquartile_mean([one["reward"] for one in found]),
    ]


def _mean_row(runs: list[Mapping[str, Any]]) -> list[Any]:
    """The mean over the kinds of fault of every seed."""
    satisfied, rewards = (
        [float(np.mean([kind[what] for kind in one["faults"].values()])) for one in runs]
        for what in ("satisfied", "reward")
    )
    cells = (interquartile_mean(satisfied), *interval(satisfied), "", interquartile_mean(rewards))
    return ["mean of the kinds", *cells]


def main(settings: Settings) -> None:
    """Train, or show what was found."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    train(settings) if settings.what == "train" else table(settings)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
