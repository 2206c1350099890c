"""Faults: the action that a faulty sensor reports in place of its own.

An agreement protocol (:mod:`marl_stl_env.consensus.protocols.agreement`) reduces the messages of a
Byzantine sensor to one value that all honest sensors hold for it, or to silence. A fault chooses
that value. Lanes are independent of each other, so they may be passed in any grouping.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from marl_stl_env.arrays import NUMPY, Arrays
from marl_stl_env.config import MIXED
from marl_stl_env.consensus.rules import SILENT, DecisionRule
from marl_stl_env.errors import ConfigError, PluginError
from marl_stl_env.registry import Registry, blamed, describe
from marl_stl_env.types import ACTIONS, Action, AnyArray, BoolArray, Int8Array, IntArray
from marl_stl_env.validation import check_range

WordArray: TypeAlias = NDArray[np.uint64]
#: The decisions on agreed actions: (lanes, agents) int8 to (lanes,) int8.
Decide: TypeAlias = Callable[[Int8Array], Int8Array]

#: Harm of a decision to the defender, ``HARM[label, action]``. The wrong class is worse than the
#: right one. On a benign event, isolating the host is worst and a needless alert is the least
#: error. On a threat, Allow is worst; Block is worse than Quarantine, since the host goes on.
HARM: Int8Array = np.array([[0, 2, 3, 1], [3, 1, 0, 2]], np.int8)
_HARM_OF_PAIR = HARM.ravel()
_TOP_BIT = -(2**63)


class Scene(NamedTuple):
    """What a fault knows about one step, which is more than honest sensors do.

    Attributes:
        actions: Action of every sensor if it were honest.  # (lanes, agents) int8
        faulty: True for faulty sensors.  # (lanes, agents) bool
        labels: True where the event is a threat.  # (lanes,) bool
        steps: Step of each lane's episode, from 0.  # (lanes,)
        words: Random bits, the only source of randomness.  # (lanes, agents) uint64
        decide: The team's decision on vectors of actions.
        arrays: The library of the arrays: numpy for every fault of a user, on a device too.
    """

    actions: Int8Array
    faulty: BoolArray
    labels: BoolArray
    steps: IntArray
    words: WordArray
    decide: Decide
    arrays: Arrays = NUMPY


class Fault(ABC):
    """Behaviour of faulty sensors; a subclass implements :meth:`claims`.

    Claims depend on the scene alone, lane by lane: no state, and no randomness but that of
    ``scene.words``. Then a lane does the same in every batch, and a resumed training goes on
    bit-identically.

    Args:
        rule: The rule that turns the agreed actions into a decision.
    """

    def __init__(self, rule: DecisionRule) -> None:
        self.rule = rule

    def __call__(
        self,
        actions: Int8Array,
        faulty: BoolArray,
        labels: BoolArray,
        steps: IntArray,
        words: WordArray,
        decide: Decide | None = None,
        arrays: Arrays = NUMPY,
    ) -> Int8Array:
        """The agreed actions: see :class:`Scene` for the arguments.

        ``decide`` defaults to ``rule``, under which all votes have the same weight. On a device
        claims are not checked, since the host would have to wait.

        Returns:
            Actions of the honest sensors and claims of the faulty ones, -1 for silence.
            # (lanes, agents) int8

        Raises:
            PluginError: If a claim is neither an action nor silence.
        """
        scene = Scene(actions, faulty, labels, steps, words, decide or self.rule, arrays)
        if arrays is not NUMPY:
            agreed: Int8Array = arrays.where(faulty, self.claims(scene), actions)
            return agreed
        return self._checked(scene)

    def _checked(self, scene: Scene) -> Int8Array:
        actions, what = scene.actions, f"fault {describe(type(self))}"
        with blamed(what):
            claims = np.asarray(self.claims(scene))
        if claims.dtype.kind not in "iu" or not _fits(claims.shape, actions.shape):
            raise PluginError(
                f"{what} claims {claims.dtype} of shape {claims.shape}; claims are integers that "
                f"broadcast to (lanes, agents), here {actions.shape}"
            )
        agreed = np.where(scene.faulty, claims, actions)
        if ((agreed < SILENT) | (agreed >= ACTIONS)).any():
            raise PluginError(
                f"{what} claims actions from {agreed.min()} to {agreed.max()}; "
                f"a claim is an action, 0 to {ACTIONS - 1}, or {SILENT} for silence"
            )
        return agreed.astype(np.int8, copy=False)

    @abstractmethod
    def claims(self, scene: Scene) -> Any:
        """Claim of each sensor if it were faulty, -1 for silence.

        Returns:
            Integers that broadcast to (lanes, agents); those of honest sensors are not used.
        """


_Mine = TypeVar("_Mine", bound="type[Fault]")
#: Name to the class of every known fault.
FAULTS: Registry[type[Fault]] = Registry("fault")


@overload
def register_fault(
    name: str, fault: None = None, *, replace: bool = False
) -> Callable[[_Mine], _Mine]: ...
@overload
def register_fault(name: str, fault: _Mine, *, replace: bool = False) -> _Mine: ...
def register_fault(name: str, fault: Any = None, *, replace: bool = False) -> Any:
    """Register a fault under a name, which ``--fault`` and evaluations then take.

    Args:
        name: The name.
        fault: A subclass of :class:`Fault`; without it, a class decorator is returned. It is
            made with the rule of the team alone.
        replace: Put it in the place of one of your own.

    Returns:
        The class, or the decorator.

    Raises:
        PluginError: If the name is taken or malformed, or what is registered is no fault.
    """
    return FAULTS.decorator(name, fault, _fault_class, replace=replace)


def _fault_class(given: Any) -> type[Fault]:
    if not (isinstance(given, type) and issubclass(given, Fault)):
        raise PluginError(
            f"{describe(given)} is no fault: register a subclass of "
            "marl_stl_env.consensus.faults.Fault with a method claims(scene)"
        )
    return given


def fault_names(fault: str) -> tuple[str, ...]:
    """The faults that a setting names: one, several joined by ``+``, or "mixed", all built-in ones.

    Raises:
        UnknownNameError: If there is no such fault.
        ConfigError: If one is named twice.
    """
    parts = (FAULTS.builtin() if part == MIXED else (part,) for part in fault.split("+"))
    names = tuple(name for part in parts for name in part)
    for name in names:
        FAULTS.find(name)
    if len(set(names)) < len(names):
        raise ConfigError(f"fault={fault!r} names a fault twice; {MIXED!r} holds all built-in ones")
    return names


def make_fault(name: str, rule: DecisionRule, **options: Any) -> Fault:
    """The fault that is registered under a name.

    Args:
        name: A name from ``FAULTS``.
        rule: The rule that turns the agreed actions into a decision.
        options: Arguments of the fault, such as ``start`` of ``sleeper``.

    Raises:
        UnknownNameError: If there is no such fault.
        PluginError: If an own fault cannot be made.
    """
    kind = FAULTS.find(name)
    with blamed(FAULTS.described(name)):
        return kind(rule, **options)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, wanted) == wanted
    except ValueError:
        return False


def draw_faulty(words: WordArray, count: int, arrays: Arrays = NUMPY) -> BoolArray:
    """Draw ``count`` faulty sensors in every lane, each subset with the same probability.

    Args:
        words: Independent random bits.  # (lanes, agents) uint64
        count: Faulty sensors per lane, 0 to agents.
        arrays: The library of the arrays.

    Returns:
        True for the faulty sensors.  # (lanes, agents) bool

    Raises:
        ConfigError: If there are fewer than ``count`` sensors.
    """
    check_range("faulty", count, 0, words.shape[1])
    keys = arrays.bits(words) ^ _TOP_BIT  # in the order of the unsigned words
    smaller = keys[:, :, None] > keys[:, None, :]  # (lanes, agents, agents)
    faulty: BoolArray = smaller.sum(axis=2) < count
    return faulty


@register_fault("random")
class RandomAction(Fault):
    """A uniformly random action."""

    def claims(self, scene: Scene) -> Int8Array:
        """See :meth:`Fault.claims`."""
        claimed: Int8Array = scene.arrays.cast(scene.words & (ACTIONS - 1), np.int8)
        return claimed


@register_fault("flip")
class Flip(Fault):
    """The opposite class: Allow and Block change places, and so do Quarantine and Alert."""

    def claims(self, scene: Scene) -> Int8Array:
        """See :meth:`Fault.claims`."""
        return scene.actions ^ 1


class Constant(Fault):
    """The same claim at every step."""

    claim: int

    def claims(self, scene: Scene) -> int:  # noqa: ARG002 - the scene does not matter
        """See :meth:`Fault.claims`."""
        return self.claim


@register_fault("always_allow")
class AlwaysAllow(Constant):
    """Always Allow, as colluders would to let an attack pass."""

    claim = int(Action.ALLOW)


@register_fault("silent")
class Silent(Constant):
    """No message, as from a sensor that crashed or lost its connection."""

    claim = SILENT


@register_fault("equivocate")
class Equivocate(Fault):
    """Different messages to different sensors, so that agreement yields the minority's class.

    The claim is Allow where most honest sensors vote for a threat, else Block. The fault knows the
    honest votes but not the label.
    """

    def claims(self, scene: Scene) -> Int8Array:
        """See :meth:`Fault.claims`."""
        honest, actions = ~scene.faulty, scene.actions
        threat = (actions == int(Action.BLOCK)) | (actions == int(Action.QUARANTINE))
        most = 2 * (threat & honest).sum(axis=1) > honest.sum(axis=1)
        denied = scene.arrays.where(most, int(Action.ALLOW), int(Action.BLOCK))
        claimed: Int8Array = scene.arrays.cast(denied, np.int8)[:, None]
        return claimed


@register_fault("worst_case")
class WorstCase(Fault):
    """The claim with the greatest ``HARM``, given the honest votes, the label and the rule.

    All faulty sensors claim the same action. A mixture never does more harm, since claims for one
    action raise the count of that action alone.
    """

    def claims(self, scene: Scene) -> Int8Array:
        """See :meth:`Fault.claims`."""
        arrays = scene.arrays

        def harm_of(claim: int) -> AnyArray:
            decisions = scene.decide(arrays.where(scene.faulty, claim, scene.actions))
            pairs = scene.labels * ACTIONS + decisions
            harm: AnyArray = arrays.take(arrays.constant(_HARM_OF_PAIR), pairs)
            return harm

        harm = arrays.stack([harm_of(claim) for claim in range(ACTIONS)])
        best: Int8Array = arrays.cast(harm.argmax(axis=0), np.int8)[:, None]
        return best


@register_fault("sleeper")
class Sleeper(WorstCase):
    """Honest up to a step of the episode, then the worst case.

    Args:
        rule: The rule that turns the agreed actions into a decision.
        start: First faulty step of an episode, counted from 0.
    """

    def __init__(self, rule: DecisionRule, start: int = 100) -> None:
        super().__init__(rule)
        check_range("start", start, 0)
        self.start = start

    def claims(self, scene: Scene) -> Int8Array:
        """See :meth:`Fault.claims`."""
        awake = scene.steps[:, None] >= self.start
        claimed: Int8Array = scene.arrays.where(awake, super().claims(scene), scene.actions)
        return claimed
