"""Effect of return normalisation on the value function, under the published protocol.

``python -m benchmarks.studies.return_normalization --image docs/images/return_normalization.png
--out returns.json`` trains under ``--preset seed`` with each normalisation, at the published
discount of 0.99 and at 0. Everything is evaluated on the validation split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import tyro
from marl_stl_agents.algorithms.ppo import make_trainer, resolve_device, reward_unit
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_agents.config import ReturnNormalization, TrainConfig
from marl_stl_agents.evaluation.metrics import score
from marl_stl_agents.evaluation.rollouts import collect_rollout, greedy
from marl_stl_agents.run_directory import read_json
from marl_stl_agents.training.callbacks import RewardCallback, ValueLossCallback
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.common.measure import write_result
from marl_stl_env.config import RewardConfig
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.files import atomic_path
from marl_stl_env.types import AnyArray, BoolArray

MODES: tuple[ReturnNormalization, ...] = get_args(ReturnNormalization)
#: Curves of the figure and their scales.
CURVES = {
    "value_loss": ("value loss, as optimised", "log"),
    "value_loss_reward_units": ("value loss, reward units", "log"),
    "explained_variance": ("explained variance", "linear"),
    "episode_reward": ("episode reward of a sensor", "linear"),
    "f1": ("F1, greedy, validation", "linear"),
}
#: Number of last iterations over which the table averages.
LAST = 10


@dataclass(frozen=True)
class Settings:
    """Settings of the study.

    Attributes:
        seeds: Seeds of every training.
        modes: Normalisations.
        discounts: Discounts.
        iterations: Iterations with a discount above 0.
        undiscounted_iterations: Iterations with a discount of 0, which learns sooner.
        gae_lambda: Lambda of generalised advantage estimation.
        lanes: Lanes that share the 2,048 steps of a rollout; the published value is 1.
        batch_size: Transitions of one minibatch; the published value is 64.
        quick: One short training of each.
        results: JSON files of earlier runs, which are drawn instead of training.
        image: The figure to write.
        out: JSON file to write, rewritten after every training.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    modes: tuple[ReturnNormalization, ...] = MODES
    discounts: tuple[float, ...] = (0.99, 0.0)
    iterations: int = 150
    undiscounted_iterations: int = 30
    gae_lambda: float = PRESETS["seed"].ppo.gae_lambda
    lanes: int = 1
    batch_size: int = 64
    quick: bool = False
    results: tuple[Path, ...] = ()
    image: Path | None = None
    out: Path | None = None


def training(
    settings: Settings, mode: ReturnNormalization, discount: float, seed: int
) -> TrainConfig:
    """The published protocol with one normalisation and discount, on the native backend."""
    preset = PRESETS["seed"].settings()
    ppo = replace(
        preset.ppo,
        return_normalization=mode,
        discount=discount,
        gae_lambda=settings.gae_lambda,
        batch_size=settings.batch_size,
        n_steps=64 if settings.quick else preset.ppo.n_steps // settings.lanes,
    )
    iterations = settings.iterations if discount > 0.0 else settings.undiscounted_iterations
    return replace(
        preset,
        ppo=ppo,
        backend="native",
        lanes=settings.lanes,
        seed=seed,
        device="cpu",
        iterations=2 if settings.quick else iterations,
        progress=False,
    )


class History(BaseCallback):
    """Metrics of every iteration.

    Args:
        config: The run.
        table: The scaled validation table.

    Attributes:
        curves: One number for each iteration, by name; F1 for every tenth and the last.
    """

    def __init__(self, config: TrainConfig, table: TrafficTable) -> None:
        super().__init__()
        self._config, self._table = config, table
        self._rewards: list[AnyArray] = []
        self._values = (0.0, 1.0)  # mean and deviation of the target that the values were fitted to
        self.curves: dict[str, list[float]] = {}

    def _on_step(self) -> bool:
        venv = self.model.get_vec_normalize_env()
        assert venv is not None
        self._rewards.append(venv.get_original_reward())
        return True

    def _on_rollout_end(self) -> None:
        buffer, env = self._buffer, self._config.env
        rewards = np.stack(self._rewards)
        self._rewards.clear()
        target = buffer.advantages + buffer.values
        event = own_event(rewards, env.reward)
        self._add("episode_reward", env.episode_length * float(rewards.mean()))
        self._add("own_event_share", correlation(target, rewards) ** 2)
        self._add("advantage_signal", correlation(buffer.advantages, event))
        if self._config.ppo.return_normalization == "batch":
            mean, unit = self._values
            right = consistent_advantages(
                buffer, rewards, self.locals["values"], self.locals["dones"], mean, unit
            )
            self._add("unit_agreement", correlation(buffer.advantages, right))
            self._add("consistent_signal", correlation(right, event))
            self._add("mean_advantage", float(buffer.advantages.mean()))
            self._add("consistent_mean_advantage", float(right.mean()))
            self._values = float(target.mean()), reward_unit(self._model)

    def _on_rollout_start(self) -> None:
        logged = self.logger.name_to_value
        if "train/value_loss" not in logged:
            return
        for name in ("value_loss", "value_loss_reward_units", "explained_variance"):
            self._add(name, float(logged[f"train/{name}"]))
        done = len(self.curves["value_loss"])
        if done % LAST == 0 or done == self._config.iterations:
            self._evaluate()

    def _on_training_end(self) -> None:
        self._on_rollout_start()

    def _evaluate(self) -> None:
        env, policy = self._config.env, self._model.policy
        policy.set_training_mode(False)
        decisions = collect_rollout(env, self._table, greedy(policy)).decisions
        figures = score(self._table.labels, decisions, env.reward)
        self._add("f1", figures.f1)
        self._add("validation_reward", figures.reward_per_event)

    def _add(self, name: str, value: float) -> None:
        self.curves.setdefault(name, []).append(value)

    @property
    def _model(self) -> Any:
        return self.model

    @property
    def _buffer(self) -> RolloutBuffer:
        buffer = self._model.rollout_buffer
        assert isinstance(buffer, RolloutBuffer)
        return buffer


def correlation(first: AnyArray, second: AnyArray) -> float:
    """Pearson's correlation of two arrays of the same shape."""
    if first.std() == 0.0 or second.std() == 0.0:
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def own_event(rewards: AnyArray, config: RewardConfig) -> AnyArray:
    """The part of each reward that depends on the action: the reward minus its mean for the label.

    This is the exact advantage, since actions do not change later events.

    Args:
        rewards: Unscaled rewards of the team.  # (steps, n_envs) float32
        config: The rewards of outcomes.
    """
    threat: BoolArray = np.isin(rewards, (config.true_positive, config.false_negative))
    means = [
        rewards[threat == label].mean() if (threat == label).any() else 0.0 for label in (0, 1)
    ]
    return rewards - np.where(threat, means[1], means[0])


def consistent_advantages(
    buffer: RolloutBuffer,
    rewards: AnyArray,
    last_values: torch.Tensor,
    dones: AnyArray,
    mean: float,
    unit: float,
) -> AnyArray:
    """The advantages of a rollout whose values are converted to reward units.

    Args:
        buffer: A full rollout, its values in normalised units.
        rewards: Unscaled rewards.  # (steps, n_envs) float32
        last_values: Normalised values after the rollout.  # (n_envs, 1) float32
        dones: Whether the last step ended an episode.  # (n_envs,) bool
        mean: Mean of the returns that the values were fitted to.
        unit: Standard deviation of these returns.

    Returns:
        Advantages in reward units.  # (steps, n_envs) float32
    """
    other = RolloutBuffer(
        buffer.buffer_size,
        buffer.observation_space,
        buffer.action_space,
        gamma=buffer.gamma,
        gae_lambda=buffer.gae_lambda,
        n_envs=buffer.n_envs,
    )
    later = (
        buffer.rewards - rewards
    )  # at a time limit SB3 adds the discounted value of what follows
    other.rewards = rewards + unit * later + buffer.gamma * mean * (later != 0.0)
    other.values = mean + unit * buffer.values
    other.episode_starts = buffer.episode_starts
    other.compute_returns_and_advantage(mean + unit * last_values, dones)
    return other.advantages


def train(config: TrainConfig, prepared: PreparedData) -> dict[str, list[float]]:
    """The curves of one training."""
    device = resolve_device(config.device, config.threads)
    model = make_trainer(config, prepared, device)
    history = History(config, prepared.tables["validation"])
    steps = config.iterations * model.n_steps * model.n_envs
    model.learn(steps, callback=[RewardCallback(), ValueLossCallback(), history])
    return history.curves


def study(settings: Settings) -> list[dict[str, Any]]:
    """Train all settings, or read earlier runs."""
    if settings.results:
        return [one for path in settings.results for one in read_json(path)["runs"]]
    prepared = prepare(PRESETS["seed"].env)
    runs: list[dict[str, Any]] = []
    for seed in settings.seeds[:1] if settings.quick else settings.seeds:
        for discount in settings.discounts:
            for mode in settings.modes:
                config = training(settings, mode, discount, seed)
                settled: dict[str, Any] = {
                    "seed": seed,
                    "lanes": config.lanes,
                    "batch_size": config.ppo.batch_size,
                    "gae_lambda": config.ppo.gae_lambda,
                }
                curves = train(config, prepared)
                runs.append({"mode": mode, "discount": discount, **settled, "curves": curves})
                write(runs, settings)
    return runs


def write(runs: list[dict[str, Any]], settings: Settings) -> None:
    """Write the runs."""
    write_result(settings.out, {"runs": runs})


def chosen(runs: Sequence[dict[str, Any]], mode: str, discount: float) -> list[dict[str, Any]]:
    """The curves of every seed of one setting."""
    return [one["curves"] for one in runs if (one["mode"], one["discount"]) == (mode, discount)]


def settings_of(runs: Sequence[dict[str, Any]]) -> list[tuple[str, float]]:
    """Normalisations and discounts, in the order of the table."""
    found = {(one["mode"], one["discount"]) for one in runs}
    return sorted(found, key=lambda pair: (-pair[1], MODES.index(pair[0])))


def summary(curves: Sequence[dict[str, list[float]]]) -> dict[str, str]:
    """Values of the table: mean (smallest to largest) over the seeds."""
    loss = "value_loss_reward_units"
    columns: dict[str, list[float]] = {
        f"{loss}, first": [one[loss][0] for one in curves],
        f"{loss}, largest": [max(one[loss]) for one in curves],
    }
    for name in curves[0]:
        last = 1 if name in {"f1", "validation_reward"} else LAST
        columns[name] = [float(np.mean(one[name][-last:])) for one in curves]
    return {name: spread(values) for name, values in columns.items()}


def spread(values: Sequence[float]) -> str:
    """Mean (smallest to largest)."""
    return f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def show(runs: Sequence[dict[str, Any]]) -> None:
    """Print one column for each setting."""
    columns = {
        f"{mode}, {discount:g}": summary(chosen(runs, mode, discount))
        for mode, discount in settings_of(runs)
    }
    names = dict.fromkeys(name for column in columns.values() for name in column)
    table = Table("", *columns, title=f"mean over seeds; the last {LAST} iterations unless stated")
    for name in names:
        table.add_row(name, *(column.get(name, "") for column in columns.values()))
    Console(width=220).print(table)


def draw(runs: Sequence[dict[str, Any]], image: Path) -> None:
    """Draw a row for each discount, with thin lines for seeds and a thick one for their mean."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    discounts = sorted({discount for _, discount in settings_of(runs)}, reverse=True)
    figure = Figure(figsize=(16, 3.2 * len(discounts)), layout="constrained")
    panels = figure.subplots(len(discounts), len(CURVES), squeeze=False, sharey="col")
    for row, discount in zip(panels, discounts, strict=True):
        for panel, (name, (title, scale)) in zip(row, CURVES.items(), strict=True):
            for mode, colour in zip(MODES, ("tab:green", "tab:orange", "tab:blue"), strict=True):
                lines = [one[name] for one in chosen(runs, mode, discount)]
                if lines:
                    plot(panel, lines, colour, mode, LAST if name == "f1" else 1)
            panel.set_yscale(scale)
            panel.set_title(title, fontsize=10)
            panel.set_xlabel("iteration")
            panel.grid(alpha=0.3)
        row[0].set_ylabel(f"discount {discount:g}", fontsize=12)
        row[0].axhline(1.0, color="gray", linestyle=":", linewidth=1)
        row[3].legend(fontsize=8, loc="lower right")
    with atomic_path(image) as draft:
        figure.savefig(draft, dpi=100)


def plot(panel: Any, lines: Sequence[Sequence[float]], colour: str, label: str, step: int) -> None:
    """The seeds of one setting in one panel, a point for every ``step`` iterations."""
    iterations = step * np.arange(1, len(lines[0]) + 1)
    for line in lines:
        panel.plot(iterations, line, color=colour, alpha=0.25, linewidth=0.8)
    panel.plot(iterations, np.mean(lines, axis=0), color=colour, label=label)


def main(settings: Settings) -> None:
    """Train, print, draw and write."""
    runs = study(settings)
    show(runs)
    if settings.image is not None:
        draw(runs, settings.image)
    write(runs, settings)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
