"""The decision rule: from the actions of n sensors, f of them Byzantine, to one decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol, TypeVar, overload

import numpy as np

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config import THRESHOLD_RULE, ConsensusConfig
from marl_stl_env.errors import PluginError
from marl_stl_env.registry import Registry, as_callable, blamed
from marl_stl_env.types import ACTIONS, Action, Float32Array, Int8Array, IntArray
from marl_stl_env.validation import check_range, check_types

#: The value of a silent sensor, which supports no action.
SILENT = -1
#: Largest team whose decisions are tabulated; 5**7 entries still fit into a core's cache.
TABLE_AGENTS = 7


class Rule(Protocol):
    """A decision rule: from the actions of the sensors to one decision per lane.

    It is a pure function. What it returns depends on its arguments alone, lane by lane, so that
    teams of up to seven sensors may look it up in a table, on a GPU too.
    """

    def __call__(self, actions: Int8Array, max_faulty: int, threshold: int, /) -> Int8Array:
        """One decision per lane.

        Args:
            actions: 0 to 3, or -1 for silence; not to be changed.  # (lanes, agents) int8
            max_faulty: Byzantine sensors to tolerate (f), at most ``(agents - 1) // 3``.
            threshold: The threat votes that would decide "threat" (tau); a rule may ignore it.

        Returns:
            The decisions, 0 to 3.  # (lanes,) int8
        """


_Mine = TypeVar("_Mine", bound=Rule)
#: Name to every known decision rule.
RULES: Registry[Rule] = Registry("rule")


@overload
def register_rule(
    name: str, rule: None = None, *, replace: bool = False
) -> Callable[[_Mine], _Mine]: ...
@overload
def register_rule(name: str, rule: _Mine, *, replace: bool = False) -> _Mine: ...
def register_rule(name: str, rule: Any = None, *, replace: bool = False) -> Any:
    """Register a decision rule under a name, which ``--rule`` then takes.

    Args:
        name: The name.
        rule: A :class:`Rule`; without it, a decorator is returned.
        replace: Put it in the place of one of your own.

    Returns:
        The rule, or the decorator.

    Raises:
        PluginError: If the name is taken or malformed, or the rule cannot be called.
    """
    return RULES.decorator(name, rule, as_callable, replace=replace)


@register_rule(THRESHOLD_RULE)
def decide(actions: Int8Array, max_faulty: int, threshold: int) -> Int8Array:
    """One decision per lane, computed from the counts of each action.

    The decision is a threat iff at least ``threshold`` sensors chose Block or Quarantine. Within
    that class (Block and Quarantine, or Allow and Alert) the action with the most supporters is
    taken, the lower value on a tie, if more than ``max_faulty`` sensors chose it: then one of
    them is honest. Otherwise the class default is taken, Quarantine or Allow.

    Args:
        actions: 0 to 3, or -1 for silence.  # (lanes, agents) int8
        max_faulty: Byzantine sensors to tolerate (f).
        threshold: Threat votes that decide "threat" (tau).

    Returns:
        The decisions.  # (lanes,) int8
    """
    decisions: IntArray = from_support(supporters(actions), max_faulty, threshold)
    return decisions.astype(np.int8)


def supporters(actions: Int8Array) -> list[Int8Array]:
    """Number of sensors that chose each action.

    Args:
        actions: 0 to 3, or -1 for silence.  # (lanes, agents) int8

    Returns:
        Counts, one array per action.  # 4 of (lanes,) int8, int64 on a device
    """
    if not isinstance(actions, np.ndarray):
        return [(actions == int(action)).sum(axis=1) for action in Action]
    votes = np.ascontiguousarray(actions.T)  # sums over the first axis are faster
    return [(votes == action).sum(axis=0, dtype=np.int8) for action in Action]


def from_support(support: Sequence[Any], max_faulty: int, threshold: int) -> Any:
    """The decision of :func:`decide` from the counts of :func:`supporters`.

    Args:
        support: Supporters of each action, in any array library.  # 4 of (lanes,) integer
        max_faulty: Byzantine sensors to tolerate (f).
        threshold: Threat votes that decide "threat" (tau).

    Returns:
        The decisions.  # (lanes,) integer
    """
    _, block, quarantine, _ = support
    return of_class(block + quarantine >= threshold, support, max_faulty)


def of_class(threat: Any, support: Sequence[Any], max_faulty: int) -> Any:
    """The action of :func:`decide` within a class that is decided already.

    Args:
        threat: True where the class is "threat", in any array library.  # (lanes,) bool
        support: Supporters of each action.  # 4 of (lanes,) integer
        max_faulty: Byzantine sensors to tolerate (f).

    Returns:
        The decisions.  # (lanes,) integer
    """
    allow, block, quarantine, alert = support
    lower, higher = (threat * block + ~threat * allow), (threat * quarantine + ~threat * alert)
    lower_wins = lower >= higher
    supported = (lower > max_faulty) | (higher > max_faulty)
    stopped = Action.QUARANTINE - (supported & lower_wins) * 1  # else Block
    passed = (supported & ~lower_wins) * int(Action.ALERT)  # else Allow
    return threat * stopped + ~threat * passed


@dataclass(frozen=True)
class DecisionRule:
    """The decision rule of one team, with a lookup table for small teams.

    With the rule "threshold", which is :func:`decide`, let h be the number of honest votes for
    "threat", and f = ``max_faulty`` the largest number of Byzantine sensors. Then:

    - ``h >= threshold`` forces "threat", and ``h < threshold - f`` forces "benign";
    - at least one honest sensor voted for the class of the decision;
    - an action that all honest sensors chose is the decision;
    - the action has an honest supporter or is the class default; it always has an honest
      supporter if ``2 f < threshold <= agents - 2 f``.

    Attributes:
        agents: Number of sensors n, 1 to 64.
        max_faulty: Byzantine sensors to tolerate (f), at most ``(agents - 1) // 3``.
        threshold: Threat votes that decide "threat", ``f + 1 <= threshold <= agents - f``.
        rule: A name from :data:`RULES`.

    Raises:
        ConfigError: If the three are not compatible; the message gives the reason.
        UnknownNameError: If there is no such rule.
    """

    agents: int
    max_faulty: int
    threshold: int
    rule: str = THRESHOLD_RULE

    def __post_init__(self) -> None:
        check_types(self)
        check_range("agents", self.agents, 1, 64)
        RULES.find(self.rule)
        ConsensusConfig(self.max_faulty, self.threshold).threshold_for(self.agents)

    def __call__(self, actions: Int8Array) -> Int8Array:
        """One decision per lane.

        Args:
            actions: 0 to 3, or -1 for silence; not checked here.  # (lanes, agents) int8

        Returns:
            The decisions.  # (lanes,) int8

        Raises:
            PluginError: If an own rule fails, or returns something else.
        """
        if self.agents > TABLE_AGENTS:
            return self._computed(actions)
        # A product of floats is exact for such numbers, and many times faster than one of integers.
        codes: IntArray = actions.astype(np.float32).dot(self._places).astype(np.int64)
        # A silent sensor (-1) can make the index negative, which counts from the table's end.
        return self.table[codes]

    def on(self, arrays: Arrays) -> Callable[[Any], Any]:
        """The rule for arrays of this library: agreed actions to decisions.

        Small teams' decisions are looked up in the table, larger ones' computed. A user's rule is
        a numpy function: for larger teams on a device, the host waits for it.
        """
        if arrays is NUMPY:
            return self
        if self.agents <= TABLE_AGENTS:
            table, weights = arrays.asarray(self.table), arrays.asarray(self.weights)
            return lambda actions: table[(actions * weights).sum(axis=1)]
        if not self.counts_votes:
            return lambda actions: arrays.on_host(self._computed, actions)

        def count(actions: Any) -> Any:
            decisions = from_support(supporters(actions), self.max_faulty, self.threshold)
            return arrays.cast(decisions, np.int8)

        return count

    @cached_property
    def _places(self) -> Float32Array:
        return self.weights.astype(np.float32)

    @cached_property
    def weights(self) -> IntArray:
        """The place value of each sensor's action in the index of :attr:`table`."""
        return (ACTIONS + 1) ** np.arange(self.agents)

    @cached_property
    def table(self) -> Int8Array:
        """The decision on every vector of actions, at index ``vector @ weights`` (mod size)."""
        return _known_table(self) if self.counts_votes else self._tabulated()

    def _tabulated(self) -> Int8Array:
        size = (ACTIONS + 1) ** self.agents
        digits = np.arange(size)[:, None] // self.weights % (ACTIONS + 1)
        vectors = (digits + SILENT).astype(np.int8)
        table = np.empty(size, np.int8)
        table[vectors @ self.weights] = self._computed(vectors)
        return table

    @cached_property
    def counts_votes(self) -> bool:
        """Whether it is the rule "threshold", which other array libraries can compute."""
        return self.rule == THRESHOLD_RULE

    def _computed(self, actions: Int8Array) -> Int8Array:
        """The decisions without the table."""
        if self.counts_votes:
            return decide(actions, self.max_faulty, self.threshold)
        rule, what = RULES.find(self.rule), RULES.described(self.rule)
        return apply_rule(rule, actions, self.max_faulty, self.threshold, what)


@lru_cache(maxsize=16)
def _known_table(rule: DecisionRule) -> Int8Array:
    """The table of the rule "threshold", made once: it takes as long as some hundred steps."""
    return rule._tabulated()


def apply_rule(
    rule: Rule, actions: Int8Array, max_faulty: int, threshold: int, what: str
) -> Int8Array:
    """The decisions of an own rule, checked.

    Args:
        rule: The rule.
        actions: 0 to 3, or -1 for silence.  # (lanes, agents) int8
        max_faulty: Byzantine sensors to tolerate (f).
        threshold: Threat votes that would decide "threat" (tau).
        what: The rule as messages name it.

    Returns:
        The decisions.  # (lanes,) int8

    Raises:
        PluginError: If the rule fails, or returns something else.
    """
    with blamed(what):
        given = np.asarray(rule(actions, max_faulty, threshold))
    if given.shape != actions.shape[:1] or given.dtype.kind not in "iu":
        raise PluginError(
            f"{what} returns {given.dtype} of shape {given.shape} for actions of shape "
            f"{actions.shape}; a rule returns one integer per lane, {actions.shape[:1]} int8"
        )
    if given.size and not 0 <= given.min() <= given.max() < ACTIONS:
        raise PluginError(
            f"{what} decides from {given.min()} to {given.max()}; a decision is an action, 0 to "
            f"{ACTIONS - 1}"
        )
    decisions: Int8Array = given.astype(np.int8, copy=False)
    return decisions
