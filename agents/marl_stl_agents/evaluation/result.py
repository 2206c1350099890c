"""The content of ``evaluation.json``, schema 2, and how it is written and read.

The keys of schema 1 stay. Schema 2 adds ``verdict`` and ``equal_actions``; what was absent where
it did not apply (``pr_auc``, ``response``, ``bayes_ratio``) is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from marl_stl_agents.printable import command_line
from marl_stl_env.config import Split
from marl_stl_env.errors import RunError
from marl_stl_env.files import write_text
from marl_stl_env.stl.specs import CONJUNCTION

SCHEMA: Final = 2
_EXACT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=_EXACT)
class Metrics:
    """How good one decision per event was.

    Attributes:
        tp: Threats stopped.
        tn: Benign events let pass.
        fp: Benign events stopped.
        fn: Threats let pass.
        accuracy: Share of right decisions.
        precision: 0 where nothing was stopped.
        recall: 0 where there were no threats.
        f1: Harmonic mean of both; 0 where undefined.
        reward_per_event: Mean reward.
        pr_auc: Average precision of the scores; None for a policy without scores, or without
            threats.
    """

    tp: int
    tn: int
    fp: int
    fn: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    reward_per_event: float
    pr_auc: float | None = None

    def as_dict(self) -> dict[str, float]:
        """Name to value, without what is not known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, config=_EXACT)
class OperatingPoint:
    """The team where a threshold on its threat score decides, and not the vote.

    Attributes:
        threshold: The least threat score of a threat.
        chosen_on: The split with whose mean reward it was chosen, or that it was "given".
        metrics: On the evaluated split.
    """

    threshold: float
    chosen_on: Literal["validation", "given"]
    metrics: Metrics


@dataclass(frozen=True, config=_EXACT)
class FaultMetrics:
    """The team with ``faulty`` Byzantine sensors that show one kind of fault."""

    faulty: int
    fault: str
    f1: float
    reward_per_event: float
    recall: float


@dataclass(frozen=True, config=_EXACT)
class ReplicatedControl:
    """The same vote over copies of the best single sensor."""

    sensor: str
    f1: float
    reward_per_event: float
    recall: float


@dataclass(frozen=True, config=_EXACT)
class FamilyRecall:
    """Recall of one attack family, and whether the training split holds events of it."""

    events: int
    recall: float
    seen_in_train: bool


@dataclass(frozen=True, config=_EXACT)
class Robustness:
    """Robustness over the certified episodes; None where it is infinite."""

    mean: float | None
    min: float | None


@dataclass(frozen=True, config=_EXACT)
class SpecResult:
    """One specification, or the conjunction of all.

    Attributes:
        satisfied: Share of the episodes that satisfied it.
        episodes: How many were run.
        robustness: Over these episodes.
        certified: Whether it holds with probability 1 - ``epsilon`` at confidence 1 - ``delta``.
        epsilon: Allowed probability of a violation.
        delta: Allowed probability of a wrong certificate.
        margin: Robustness that is certified as well; None where none is.
        lower_bound: Largest probability of satisfaction that could be certified.
        kept_by: Trivial policies that satisfy it too; with one of them it is vacuous.
    """

    satisfied: float
    episodes: int
    robustness: Robustness
    certified: bool
    epsilon: float
    delta: float
    margin: float | None
    lower_bound: float
    kept_by: tuple[str, ...]


@dataclass(frozen=True, config=_EXACT)
class SpecFaults:
    """The specifications with ``faulty`` Byzantine sensors that show one kind of fault.

    Attributes:
        faulty: Byzantine sensors.
        fault: What they do.
        episodes: How many were run.
        reward_per_event: Mean reward of the team's decisions.
        satisfied: Share of the episodes that satisfied each specification.
        conjunction: Share of the episodes that satisfied all.
        certified: Whether the conjunction holds with probability 1 - epsilon at confidence
            1 - delta, as for the honest team.
        lower_bound: Largest probability of satisfaction that could be certified.
    """

    faulty: int
    fault: str
    episodes: int
    reward_per_event: float
    satisfied: dict[str, float]
    conjunction: float
    certified: bool
    lower_bound: float


@dataclass(frozen=True, config=_EXACT)
class StepsToContainment:
    """Kaplan-Meier quantiles in steps; None where too few attacks were contained."""

    median: float | None
    p95: float | None


@dataclass(frozen=True, config=_EXACT)
class Containment:
    """How fast attacks were contained in ``TrafficResponse-v0``, and at what cost.

    Attributes:
        attacks: How many there were.
        contained: Share of them that was contained before the episode's end.
        steps_to_containment: From the first threat to the first stop.
        threats_passed_before_containment: Mean per attack.
        benign_downtime: Share of the benign events that were stopped.
        benign_isolated: Share of the benign events that isolation stopped.
        analyst_budget_used: Share of the alert budget.
        quarantines_per_entity: Quarantines begun, per entity and episode.
    """

    attacks: int
    contained: float
    steps_to_containment: StepsToContainment
    threats_passed_before_containment: float
    benign_downtime: float
    benign_isolated: float
    analyst_budget_used: float
    quarantines_per_entity: float


class Verdict(StrEnum):
    """Whether a team learned."""

    NOT_LEARNED = "not_learned"
    """No better than the best constant policy."""
    NO_REFERENCE = "no_reference"
    """Better than the constants, on data where the supervised vote is not."""
    BELOW_REFERENCE = "below_reference"
    """Better than the constants, but not as good as the supervised vote."""
    REACHED_REFERENCE = "reached_reference"
    """At least as good as the supervised vote."""

    @property
    def learned(self) -> bool:
        """Whether the team beats every constant policy."""
        return self is not Verdict.NOT_LEARNED


@dataclass(frozen=True, config=_EXACT)
class EvaluationResult:
    """All metrics of a team on one split.

    Attributes:
        dataset: Name of the data set.
        split: The evaluated split.
        events: Its size.
        threat_rate: Share of threats in it.
        decision: The team.
        agents: Each sensor's own actions, by its name.
        action_shares: Share of each action among the team's decisions.
        baselines: Reference policies, by name.
        families: Attack families by name, the most frequent first.
        error_correlation: Mean correlation of the errors of two sensors.
        verdict: Whether the team learned.
        normalized_score: Reward between the best constant policy (0) and the oracle (1).
        ceiling_ratio: The same with ``supervised`` as 1.
        vote_ratio: The same with ``supervised_vote`` as 1.
        bayes_ratio: The same with ``bayes`` as 1.
        bayes_vote_ratio: The same with ``bayes_vote`` as 1.
        equal_actions: Groups of actions that have the same reward on every event.
        response: Containment, in ``TrafficResponse-v0``.
        operating_point: The team at a threshold; None where decisions change what comes next
            (``TrafficResponse-v0``, a shield), and where none was asked for.
        replicated: The replicated-sensor control.
        byzantine: The team with faulty sensors.
        stl: Specifications by name, the conjunction last; empty where none were monitored.
        stl_byzantine: All of them together with faulty sensors.
        schema: Version of this layout.
    """

    dataset: str
    split: Split
    events: int
    threat_rate: float
    decision: Metrics
    agents: dict[str, Metrics]
    action_shares: dict[str, float]
    baselines: dict[str, Metrics]
    families: dict[str, FamilyRecall]
    error_correlation: float
    verdict: Verdict
    normalized_score: float | None = None
    ceiling_ratio: float | None = None
    vote_ratio: float | None = None
    bayes_ratio: float | None = None
    bayes_vote_ratio: float | None = None
    equal_actions: tuple[tuple[str, ...], ...] = ()
    response: Containment | None = None
    operating_point: OperatingPoint | None = None
    replicated: ReplicatedControl | None = None
    byzantine: tuple[FaultMetrics, ...] = ()
    stl: dict[str, SpecResult] = field(default_factory=dict)
    stl_byzantine: tuple[SpecFaults, ...] = ()
    schema: Literal[2] = SCHEMA

    def __repr__(self) -> str:
        """Data, reward, F1 and verdict, in one line."""
        decision = self.decision
        return (
            f"EvaluationResult({self.dataset}/{self.split}, {self.events:,} events: reward "
            f"{decision.reward_per_event:+.3f}, F1 {decision.f1:.3f}, {self.verdict.value})"
        )

    @property
    def best_constant(self) -> float:
        """Reward per event of the better constant policy."""
        return best_constant(self.baselines)

    @property
    def worst_fault(self) -> FaultMetrics | None:
        """The fault that costs the team most; None where it tolerates none."""
        return worst_fault(self.byzantine)

    @property
    def gain_under_faults(self) -> float | None:
        """Share of the honest gain over the best constant policy that the worst fault leaves.

        Negative where the team is then worse than that policy. None without faulty sensors, and
        where the honest team gains nothing.
        """
        worst, gain = self.worst_fault, self.decision.reward_per_event - self.best_constant
        if worst is None or gain <= 0.0:
            return None
        return (worst.reward_per_event - self.best_constant) / gain

    @property
    def conjunction(self) -> SpecResult | None:
        """All specifications together; None where none were monitored."""
        return self.stl.get(CONJUNCTION)


_ADAPTER = TypeAdapter(EvaluationResult)


def best_constant(baselines: Mapping[str, Metrics]) -> float:
    """Reward per event of the better constant policy."""
    return max(baselines[f"always_{word}"].reward_per_event for word in ("allow", "block"))


def worst_fault(entries: Sequence[FaultMetrics]) -> FaultMetrics | None:
    """The entry with the least reward; None where there is no entry."""
    return min(entries, key=lambda entry: entry.reward_per_event, default=None)


def as_json(result: EvaluationResult) -> dict[str, Any]:
    """The result as JSON has it; no number in it is NaN or infinite."""
    plain: dict[str, Any] = _ADAPTER.dump_python(result, mode="json")
    return plain


def write_result(path: Path, result: EvaluationResult) -> None:
    """Write ``evaluation.json``, whole or not at all."""
    write_text(path, json.dumps(as_json(result), indent=2, allow_nan=False) + "\n")


def read_result(path: Path) -> EvaluationResult:
    """Read an ``evaluation.json``, or the file of another split.

    Raises:
        RunError: If the file is missing, damaged, or has another schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise RunError(f"{path} is missing; {_remedy(path)}") from None
    except (ValueError, RecursionError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}; {_remedy(path)}") from None
    schema = content.get("schema") if isinstance(content, dict) else None
    if isinstance(schema, int) and schema != SCHEMA:
        other, update = ("newer", "update marl-stl-env, or ") if schema > SCHEMA else ("older", "")
        raise RunError(
            f"{path} has schema {schema} of a {other} version, and this version reads schema "
            f"{SCHEMA}; {update}{_remedy(path)}"
        )
    try:
        return _ADAPTER.validate_python(content, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = f"{place}: {first['msg']}" if place else first["msg"]
        raise RunError(
            f"{path} is no evaluation of schema {SCHEMA} ({problem}); {_remedy(path)}"
        ) from None


def _remedy(path: Path) -> str:
    flags = () if path.name == "evaluation.json" else ("--split", path.stem)
    return f"evaluate the run again: {command_line('evaluate', path.parent, *flags)}"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
