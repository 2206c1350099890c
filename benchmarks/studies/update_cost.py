"""Fewer floating-point operations in PPO's updates, and the score they cost, on validation.

``python -m benchmarks.studies.update_cost run --folder DIR`` trains what has no result yet, one
JSON file per run; ``table`` prints what is in the folder.

The rule of selection, written down before: the cheapest variant whose mean final reward is at most
0.005 below the default's, over the same seeds, is a candidate for the default; else the default
stays. A variant more than 0.03 below it with the first seed is not trained with the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
import tyro
from gymnasium import spaces
from marl_stl_agents.algorithms.ppo import make_trainer, resolve_device
from marl_stl_agents.config import PPOConfig, TrainConfig
from marl_stl_agents.evaluation.metrics import reward_per_event
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from marl_stl_agents.policies.build import make_blueprint
from marl_stl_agents.policies.team import TeamPolicy
from marl_stl_agents.run_directory import read_json, write_json
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.common.measure import show, versions
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.envs.spaces import action_space

REACHED, HOPELESS = 0.95, 0.03


@dataclass(frozen=True)
class Variant:
    """What differs from the default training.

    Attributes:
        ppo: Settings of PPO.
        target_kl: An update ends once a minibatch's divergence is 1.5 times this; None never.
        critic: Units of the critic's own hidden layers; 0 leaves it as wide as the actor.
    """

    ppo: PPOConfig = field(default_factory=PPOConfig)
    target_kl: float | None = None
    critic: int = 0

    @property
    def config(self) -> TrainConfig:
        """The run, with seed 0."""
        return TrainConfig(ppo=self.ppo, backend="native", progress=False, preflight=False)


DEFAULT = "default"
TRUNK = PPOConfig(shared_trunk=True)
VARIANTS = {
    DEFAULT: Variant(),
    "target_kl 0.01": Variant(target_kl=0.01),
    "target_kl 0.02": Variant(target_kl=0.02),
    "target_kl 0.03": Variant(target_kl=0.03),
    "shared trunk, width 128": Variant(TRUNK),
    "shared trunk, 3 epochs": Variant(replace(TRUNK, n_epochs=3)),
    "shared trunk, 2 epochs": Variant(replace(TRUNK, n_epochs=2)),
    "shared trunk, width 192": Variant(replace(TRUNK, width=192)),
    "critic of width 64": Variant(critic=64),
    "critic of width 32": Variant(critic=32),
    "critic of width 32, 3 epochs": Variant(PPOConfig(n_epochs=3), critic=32),
    "3 epochs": Variant(PPOConfig(n_epochs=3)),
    "3 epochs, learning rate 0.004": Variant(PPOConfig(n_epochs=3, learning_rate=4e-3)),
    "2 epochs, learning rate 0.005": Variant(PPOConfig(n_epochs=2, learning_rate=5e-3)),
    "minibatches of 4,096, learning rate 0.004": Variant(
        PPOConfig(batch_size=4096, learning_rate=4e-3)
    ),
    "width 96": Variant(PPOConfig(width=96)),
}


@dataclass(frozen=True)
class Settings:
    """What to do.

    Attributes:
        what: "run" trains and prints, "table" prints.
        folder: Folder of the runs' JSON files.
        only: Variants, by name; none means all.
        seeds: Seeds of each.
        iterations: Rollouts of each training.
        seconds: Begin no run after so many; 0 does not stop.
    """

    what: tyro.conf.Positional[Literal["run", "table"]]
    folder: Path = Path("update_cost")
    only: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    iterations: int = 30
    seconds: float = 0.0


def with_critic(units: int, config: TrainConfig, model: PPO, prepared: PreparedData) -> TeamPolicy:
    """The default network with another width of the critic's hidden layers."""
    space, ppo = cast("spaces.Box", model.observation_space), config.ppo
    settings = make_blueprint(config, space, prepared.tables["train"]).settings
    hidden = {"pi": [ppo.width] * ppo.depth, "vf": [units] * ppo.depth}
    torch.manual_seed(config.seed)
    return TeamPolicy(space, action_space(), model.lr_schedule, **(settings | {"net_arch": hidden}))


class Meter(BaseCallback):
    """Processor seconds of rollouts and updates, and the reward on validation between them.

    Args:
        model: The trainer, whose two methods are measured from now on.
        evaluate: The reward per event of the greedy team.
        iterations: Rollouts of the training; after its first half every third is evaluated.
    """

    def __init__(self, model: PPO, evaluate: Callable[[], float], iterations: int) -> None:
        super().__init__()
        self._evaluate, self._last = evaluate, iterations
        self.rollouts: list[float] = []
        self.updates: list[float] = []
        self.minibatches: list[int] = []
        self.curve: list[tuple[int, float]] = []
        self._steps, self._outside = 0, 0.0
        measured, optimizer = cast("Any", model), cast("Any", model.policy.optimizer)
        measured.collect_rollouts = self._timed(model.collect_rollouts, self.rollouts)
        measured.train = self._timed(model.train, self.updates)
        optimizer.register_step_post_hook(self._count)

    def _count(self, *args: Any) -> None:
        del args
        self._steps += 1

    def _timed(self, call: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
        def timed(*args: Any, **settings: Any) -> Any:
            began = time.process_time()
            result = call(*args, **settings)
            seconds.append(time.process_time() - began - self._outside)
            self._outside = 0.0
            return result

        return timed

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        iteration, began = len(self.updates), time.process_time()
        if iteration:
            self.minibatches.append(self._steps)
            self._steps = 0
            if 2 * iteration <= self._last or iteration % 3 == 0 or iteration == self._last:
                self.curve.append((iteration, self._evaluate()))
        self._outside = time.process_time() - began

    def _on_training_end(self) -> None:
        self._on_rollout_start()


def run(variant: Variant, seed: int, iterations: int, prepared: PreparedData) -> dict[str, Any]:
    """Train once: seconds and minibatches of every iteration, and the curve on validation."""
    config = replace(variant.config, seed=seed, iterations=iterations)
    model = cast("PPO", make_trainer(config, prepared, resolve_device("cpu", 1)))
    model.target_kl = variant.target_kl
    if variant.critic:
        model.policy = with_critic(variant.critic, config, model, prepared)
    events = prepared.tables["validation"]

    def evaluate() -> float:
        model.policy.set_training_mode(False)
        decisions = collect_rollout(config.task, events, greedy(model.policy)).decisions
        return reward_per_event(events.labels, decisions, config.env.reward)

    meter = Meter(model, evaluate, iterations)
    model.learn(iterations * model.n_steps * model.n_envs, callback=meter)
    measured = {name: getattr(meter, name) for name in ("rollouts", "updates", "minibatches")}
    return {"seed": seed, **measured, "curve": meter.curve}


def train_missing(settings: Settings) -> None:
    """Train every variant that has no result yet, seed by seed."""
    prepared, began = prepare(Variant().config.task), time.monotonic()
    for seed in settings.seeds:
        for name, variant in VARIANTS.items():
            path = settings.folder / name.replace(" ", "_").replace(",", "") / f"{seed}.json"
            late = 0 < settings.seconds < time.monotonic() - began
            chosen = not settings.only or name in settings.only
            if late or not chosen or path.exists() or hopeless(settings, name):
                continue
            result = run(variant, seed, settings.iterations, prepared)
            write_json(path, {"variant": name, **versions(), **result})


def collect(folder: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """The results in a folder, by variant and seed."""
    found: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in VARIANTS}
    for path in folder.glob("*/*.json"):
        result = read_json(path)
        found[result["variant"]][result["seed"]] = result
    return found


def hopeless(settings: Settings, name: str) -> bool:
    """Whether the first seed's final reward is too far below the default's."""
    found, first = collect(settings.folder), settings.seeds[0]
    known = first in found[name] and first in found[DEFAULT]
    return known and final(found[name][first]) < final(found[DEFAULT][first]) - HOPELESS


def final(result: Mapping[str, Any]) -> float:
    """The reward per event after the last iteration."""
    return float(result["curve"][-1][1])


def reached(result: Mapping[str, Any], wanted: float) -> int | None:
    """The iteration from which on the reward is at least this; None if it never is."""
    below = [i for i, (_, reward) in enumerate(result["curve"]) if reward < wanted]
    later = result["curve"][below[-1] + 1 if below else 0 :]
    return int(later[0][0]) if later else None


def row(runs: Mapping[int, Any], default: Mapping[int, Any]) -> list[float | int | None]:
    """Seeds, reward, its difference from the default's, and processor seconds of a variant.

    The seconds of a minibatch and of a rollout are lower quartiles over the iterations, as other
    jobs on the machine slow some of them down.
    """
    pairs = [(runs[seed], default[seed]) for seed in sorted(runs) if seed in default]
    steps = [np.divide(one["updates"], one["minibatches"]) for one, _ in pairs]
    step = float(np.quantile(np.concatenate(steps), 0.25))
    rollout = float(np.quantile([one["rollouts"] for one, _ in pairs], 0.25))
    times = [
        step * sum(one["minibatches"][:until]) + rollout * until
        for one, other in pairs
        if (until := reached(one, REACHED * final(other))) is not None
    ]
    return [
        len(pairs),
        float(np.mean([final(one) for one, _ in pairs])),
        float(np.mean([final(one) - final(other) for one, other in pairs])),
        step * float(np.mean([sum(one["minibatches"]) for one, _ in pairs])),
        float(np.mean(times)) if len(times) == len(pairs) else None,
    ]


def main(settings: Settings) -> None:
    """Train what is missing, and print score against seconds."""
    if settings.what == "run":
        train_missing(settings)
    found = {name: runs for name, runs in collect(settings.folder).items() if runs}
    columns = ("variant", "seeds", "reward", "difference", "updates", "to 95 %")
    rows = [[name, *row(runs, found[DEFAULT])] for name, runs in found.items()]
    show("reward per event on validation, processor seconds", columns, rows)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
