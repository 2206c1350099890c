"""The record of a training and its checklist results: ``checklist.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.evaluation.baselines import simple_baselines
from marl_stl_agents.evaluation.metrics import reward_per_event
from marl_stl_agents.run_directory import CHECKLIST, read_json, write_json
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.errors import RunError

SCHEMA = 1
#: The checklist runs after these iterations, and always after the last one.
ITERATIONS = (10, 30, 50, 80, 100, 150)
#: Before these a team need not be better than a constant policy.
LEARNED_ITERATION, LEARNED_TIMESTEPS = 30, 150_000

Status: TypeAlias = Literal["passed", "failed", "unknown"]


def due(iteration: int, last: int) -> bool:
    """Whether the checklist runs after this iteration."""
    return iteration in ITERATIONS or iteration == last


@dataclass(frozen=True)
class Iteration:
    """Measurements of one rollout and its update; None where a value is not known.

    Attributes:
        iteration: Counted from 1.
        timesteps: Agent-steps so far.
        reward: Mean unscaled reward of an honest sensor per event, with sampled actions.
        threat_share: Share of threats among the events of the rollout.
        threat_share_error: Its standard error, from the differences between the lanes.
        shares: Share of each action among the sampled actions.
        gain_benign: On benign events, the mean reward where the sensor's vote and the team's
            decision are both right, less the mean reward where both are wrong.
        gain_threat: The same on threats.
        explained_variance: Of the returns, by the value function before the update.
        value_loss: Mean squared error of the value function, in reward units.
        value_error: The same, over the mean square of its targets.
        value_spread: Standard deviation of the rollout's values over the root mean square of
            their targets.
        entropy: Of the policy.
        approx_kl: Divergence between the policies before and after the update.
        clip_fraction: Share of probability ratios that were clipped.
        gradient_norm: Largest norm of a gradient before it is clipped.
        signal: AUC of a small classifier that predicts the labels from the rollout's observations.
        signal_error: Standard error of that AUC if the observations held no information.
        evaluated: Metrics of the greedy team on validation, where it was evaluated.
    """

    iteration: int
    timesteps: int
    reward: float | None
    threat_share: float
    threat_share_error: float | None
    shares: dict[str, float]
    gain_benign: float | None
    gain_threat: float | None
    explained_variance: float | None
    value_loss: float
    value_error: float | None
    value_spread: float | None
    entropy: float
    approx_kl: float
    clip_fraction: float
    gradient_norm: float
    signal: float | None = None
    signal_error: float | None = None
    evaluated: dict[str, float] | None = None


History: TypeAlias = Sequence[Iteration]


def known_values(history: History, name: str) -> list[float]:
    """The values of a field, where they are known."""
    return [value for one in history if (value := getattr(one, name)) is not None]


def mean_of(history: History, name: str) -> float | None:
    """The mean of a field over the iterations where it is known, None if there are none."""
    known = known_values(history, name)
    return fmean(known) if known else None


def by_now(history: History, holds: bool) -> bool | None:
    """Whether it holds; None where it does not and the team need not have learned yet."""
    last = history[-1]
    learned = last.iteration >= LEARNED_ITERATION and last.timesteps >= LEARNED_TIMESTEPS
    return holds or (False if learned else None)


@dataclass(frozen=True)
class Setting:
    """The references and settings that the record of a run is compared with.

    Attributes:
        threat_rate: Share of threats in the training split.
        constant_reward: Mean reward per validation event of the better constant policy.
        constant_f1: F1 of blocking every validation event.
        learning_rate: Step size at the beginning.
        entropy_coefficient: Weight of the entropy bonus.
        discount: Discount of future rewards.
        replay: Whether events do not depend on the actions.
        warm_start: Whether the policy was good before its first rollout.
    """

    threat_rate: float
    constant_reward: float
    constant_f1: float
    learning_rate: float
    entropy_coefficient: float
    discount: float
    replay: bool = True
    warm_start: bool = False

    @property
    def more_entropy(self) -> float:
        """The entropy coefficient to try where the team stopped exploring."""
        return max(2.5 * self.entropy_coefficient, 0.02)

    @property
    def noisy_returns(self) -> bool:
        """Whether returns are mostly rewards that the actions do not change."""
        return self.replay and self.discount > 0.5


@dataclass(frozen=True)
class Fault:
    """A NaN or inf that ended a training.

    Attributes:
        place: Where it was seen first.
        remedy: What to try.
    """

    place: str
    remedy: str


@dataclass(frozen=True)
class Check:
    """One line of the checklist.

    Attributes:
        name: Its name.
        expectation: What should hold.
        measured: What was measured.
        status: Whether it holds; "unknown" where it is too early to tell.
        cause: Of a failure, the likely cause.
        remedy: Of a failure, what to try.
    """

    name: str
    expectation: str
    measured: str
    status: Status
    cause: str | None = None
    remedy: str | None = None


@dataclass(frozen=True)
class Checked:
    """The result of one run of the checklist.

    Attributes:
        iteration: After which iteration.
        timesteps: Agent-steps then.
        diagnosis: Name of the first failed line, the likely cause of the others; None if none.
        checks: All lines.
        fault: The NaN or inf that ended the training here.
    """

    iteration: int
    timesteps: int
    diagnosis: str | None
    checks: list[Check]
    fault: Fault | None = None


@dataclass
class Checklist:
    """The content of ``checklist.json``.

    Attributes:
        history: The record of the iterations.
        checked: The result of each run of the checklist.
        schema: Version of this layout.
    """

    history: list[Iteration] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)
    schema: int = SCHEMA

    def forget_after(self, timesteps: int) -> None:
        """Drop what comes after the checkpoint that a training resumes from."""
        self.history = [one for one in self.history if one.timesteps <= timesteps]
        self.checked = [
            one for one in self.checked if one.timesteps <= timesteps and one.fault is None
        ]


_ADAPTER = TypeAdapter(Checklist)


def read_checklist(run: Path) -> Checklist:
    """The checklist of a run, empty where there is none yet.

    Raises:
        RunError: If the file is damaged.
    """
    path = run / CHECKLIST
    if not path.exists():
        return Checklist()
    try:
        return _ADAPTER.validate_python(read_json(path))
    except ValidationError as error:
        raise RunError(f"{path} is not a checklist of this version: {error}") from None


def write_checklist(run: Path, content: Checklist) -> None:
    """Write the checklist of a run, whole or not at all."""
    write_json(run / CHECKLIST, _ADAPTER.dump_python(content, mode="json"))


def setting_of(config: TrainConfig, prepared: PreparedData) -> Setting:
    """What the record of this run is compared with."""
    table = prepared.tables["validation"]
    rate = float(table.labels.mean())
    constants = simple_baselines(config.task, table.labels)
    return Setting(
        threat_rate=prepared.training.threat_rate,
        constant_reward=max(
            reward_per_event(table.labels, constants[name].decisions, config.task.reward, table)
            for name in ("always_allow", "always_block")
        ),
        constant_f1=2.0 * rate / (1.0 + rate),
        learning_rate=config.ppo.learning_rate,
        entropy_coefficient=config.ppo.entropy_coefficient,
        discount=config.ppo.discount,
        replay=config.task.dynamics == "replay",
        warm_start=config.warm_start > 0,
    )
