"""Named specifications, and the default set for ``TrafficResponse-v0``.

They are stated in past-time form, on counts, ages and fractions that the environment keeps, so
that their truth is known at every step (horizon 0):

=============================  ==================================================================
signal                         meaning
=============================  ==================================================================
``age``                        at a threat that passed: steps since the first of its entity's
                               threats of which none was stopped since; 0 at all other events
``quarantined_fraction``       isolated entities, over those met in the last 64 steps
``alerts_16``                  alerts in the last 16 steps
``requarantined_benign_40``    1 where a benign event's entity goes into quarantine at most 40
                               steps after it left it
``denied_32``                  share of the benign events of the last 32 steps that were stopped
``missed_margin_<w>``          threats that could have been missed on top, in the last w steps
``false_alarm_margin_<w>``     benign events that could have been stopped on top, likewise
=============================  ==================================================================

The two margins come from the counts of the last w steps through :class:`Allowances`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from marl_stl_env.errors import ConfigError
from marl_stl_env.stl.formula import Connective, Formula
from marl_stl_env.stl.parser import parse
from marl_stl_env.stl.robustness import satisfied
from marl_stl_env.stl.signals import Traces
from marl_stl_env.types import AnyArray, Float32Array, IntArray
from marl_stl_env.validation import check_range

#: The name under which all specifications together are reported.
CONJUNCTION = "conjunction"
_SHORTEST_POSTURE = 64


@dataclass(frozen=True)
class Specification:
    """A specification with a name.

    Attributes:
        name: What it is called in reports.
        formula: What must hold at the start of every episode.
        scale: The robustness that counts as ample; divides the robustness where specifications
            are compared or shown to an agent.
    """

    name: str
    formula: Formula
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_range(f"scale of {self.name!r}", self.scale, 0.0, open_low=True)

    @classmethod
    def parse(cls, name: str, text: str, *, scale: float = 1.0) -> Specification:
        """Read the formula from text.

        Raises:
            FormulaError: If the text is no formula.
        """
        return cls(name, parse(text), scale)

    @property
    def signals(self) -> frozenset[str]:
        """The names of the signals it needs."""
        return self.formula.signals()


@dataclass(frozen=True, eq=False)
class Allowances:
    """How many errors a window of events may hold before the detector is to blame.

    Raw rates in a window fail even a very good detector, because a window holds few threats. A
    detector with exactly the specified rates exceeds each allowance with probability at most alpha
    in a given window: at most ``error`` over the disjoint windows of an episode (union bound),
    and somewhat more over the sliding ones that are checked.

    Attributes:
        missed: Misses allowed among n threats, M(n).  # (window + 1,) int64
        false_alarms: False alarms allowed among n benign events, F(n).  # (window + 1,) int64
    """

    missed: IntArray
    false_alarms: IntArray

    @classmethod
    def for_rates(
        cls,
        window: int,
        episode_length: int,
        *,
        detection_rate: float = 0.95,
        false_alarm_rate: float = 0.05,
        error: float = 1e-3,
    ) -> Allowances:
        """M(n) and F(n), the binomial upper quantiles at ``alpha = error * window / length``.

        Args:
            window: Steps of a window, w.
            episode_length: Steps of an episode, T.
            detection_rate: Share of threats that must be stopped, a.
            false_alarm_rate: Share of benign events that may be stopped, b.
            error: Probability of blaming a detector with just these rates, per allowance, over the
                disjoint windows of an episode.

        Raises:
            ConfigError: If an argument is out of range.
        """
        from scipy.special import betainc

        _check_posture(window)
        check_range("episode_length", episode_length, window)
        for name, rate in (
            ("detection_rate", detection_rate),
            ("false_alarm_rate", false_alarm_rate),
        ):
            check_range(name, rate, 0.0, 1.0)
        check_range("error", error, 0.0, 1.0, open_low=True)
        alpha = error * window / episode_length
        events, errors = np.arange(window + 1)[:, None], np.arange(window + 1)
        others = events - errors

        def allowed(rate: float) -> IntArray:
            """The least k for which more than k errors among n are at most alpha likely."""
            # The binomial survival function; all of scipy.stats takes half a second to import.
            more = betainc(errors + 1.0, np.maximum(others, 1), rate)
            exceeded = np.where(others > 0, more, 0.0)  # (events, errors)
            return np.asarray((exceeded <= alpha).argmax(axis=1), np.int64)

        return cls(missed=allowed(1 - detection_rate), false_alarms=allowed(false_alarm_rate))

    def margins(
        self, misses: AnyArray, threats: AnyArray, false_alarms: AnyArray, benign: AnyArray
    ) -> tuple[Float32Array, Float32Array]:
        """What is left of the allowances: ``M(threats) - misses``, ``F(benign) - false_alarms``.

        Args:
            misses: Threats of the window that passed.  # (...) integers
            threats: Threats of the window.  # (...) integers
            false_alarms: Benign events of the window that were stopped.  # (...) integers
            benign: Benign events of the window.  # (...) integers

        Returns:
            ``missed_margin_<w>`` and ``false_alarm_margin_<w>``.  # (...) float32 each
        """
        return (
            (self.missed[threats] - misses).astype(np.float32),
            (self.false_alarms[benign] - false_alarms).astype(np.float32),
        )


def default_specifications(window: int = 64) -> tuple[Specification, ...]:
    """The default set: some trivial policy satisfies each but posture, none satisfies all.

    Args:
        window: Steps over which posture counts errors, w >= 64.

    Raises:
        ConfigError: If the window is too short for its allowances to mean anything.
    """
    _check_posture(window)
    posture = f"missed_margin_{window} >= 0 and false_alarm_margin_{window} >= 0"
    return (
        Specification.parse("responsive", "G (age <= 20)", scale=20),
        Specification.parse("collateral", "G[64,inf) (quarantined_fraction <= 0.25)", scale=0.25),
        Specification.parse("alert budget", "G (alerts_16 <= 6)", scale=6),
        # 0 or 1: half way between them, so that robustness is above 0 where it is satisfied.
        Specification.parse("no flapping", "G (requarantined_benign_40 <= 0.5)", scale=0.5),
        Specification.parse("posture", f"G[{window},inf) ({posture})", scale=4),
        Specification.parse("availability", "G[32,inf) (denied_32 <= 0.35)", scale=0.35),
    )


def conjunction(specifications: Iterable[Specification]) -> Formula:
    """All specifications as one formula.

    Raises:
        ConfigError: If there are none.
    """
    formulas = [specification.formula for specification in specifications]
    if not formulas:
        raise ConfigError("a conjunction needs at least one specification")
    return reduce(lambda left, right: Connective("and", left, right), formulas)


def satisfaction(
    specifications: Iterable[Specification], policies: Mapping[str, Traces]
) -> dict[str, dict[str, float]]:
    """How often each policy satisfies each specification, and all of them together.

    Args:
        specifications: The specifications.
        policies: Name of a policy to the traces of its episodes, one per lane.

    Returns:
        Name of the specification (or :data:`CONJUNCTION`) to name of the policy to the share of
        episodes in which it holds.

    Raises:
        UnknownNameError: If traces lack a signal.
        SignalError: If a signal does not suit a formula, or an episode is empty.
    """
    kept = {
        policy: {s.name: satisfied(s.formula, traces) for s in specifications}
        for policy, traces in policies.items()
    }
    shares: dict[str, dict[str, float]] = {}
    for policy, truths in kept.items():
        for name, truth in truths.items():
            shares.setdefault(name, {})[policy] = float(truth.mean())
        together = np.all(list(truths.values()), axis=0)
        shares.setdefault(CONJUNCTION, {})[policy] = float(together.mean())
    return shares


def vacuous(
    specifications: Iterable[Specification], trivial: Mapping[str, Traces], share: float = 0.99
) -> dict[str, tuple[str, ...]]:
    """The vacuous specifications: those that some trivial policy satisfies.

    Args:
        specifications: The specifications.
        trivial: Name of a trivial policy (always-allow, random, ...) to its traces.
        share: A policy satisfies a specification if it holds in at least this share of episodes.

    Returns:
        Name of the specification (or :data:`CONJUNCTION`) to the policies that satisfy it; only
        where there are any.
    """
    shares = satisfaction(specifications, trivial)
    trivial_policies = {
        name: tuple(policy for policy, kept in by_policy.items() if kept >= share)
        for name, by_policy in shares.items()
    }
    return {name: policies for name, policies in trivial_policies.items() if policies}


def _check_posture(window: int) -> None:
    if window < _SHORTEST_POSTURE:
        raise ConfigError(
            f"window={window} is below {_SHORTEST_POSTURE}: so few events cannot tell a good "
            "detector from a bad one"
        )
