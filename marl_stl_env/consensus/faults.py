"""Faults: the action that a faulty sensor reports in place of its own.

An agreement protocol (:mod:`marl_stl_env.consensus.protocols.agreement`) reduces the messages of a
Byzantine sensor to one value that all honest sensors hold for it, or to silence. A fault chooses
that value. Lanes are independent of each other, so they may be passed in any grouping.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from marl_stl_env.consensus.rules import SILENT, DecisionRule
from marl_stl_env.errors import ConfigError, InvalidActionError, UnknownNameError
from marl_stl_env.types import ACTIONS, THREAT_VOTE, Action, BoolArray, Int8Array, IntArray
from marl_stl_env.validation import check_range

WordArray: TypeAlias = NDArray[np.uint64]
#: The decisions on agreed actions: (lanes, agents) int8 to (lanes,) int8.
Decide: TypeAlias = Callable[[Int8Array], Int8Array]
_Class = TypeVar("_Class", bound="type[Fault]")

#: Harm of a decision to the defender, ``HARM[label, action]``. The wrong class is worse than the
#: right one. On a benign event, isolating the host is worst and a needless alert is the least
#: error. On a threat, Allow is worst; Block is worse than Quarantine, since the host goes on.
HARM: Int8Array = np.array([[0, 2, 3, 1], [3, 1, 0, 2]], np.int8)


class Scene(NamedTuple):
    """What a fault knows about one step, which is more than honest sensors do.

    Attributes:
        actions: Action of every sensor if it were honest.  # (lanes, agents) int8
        faulty: True for faulty sensors.  # (lanes, agents) bool
        labels: True where the event is a threat.  # (lanes,) bool
        steps: Step of each lane's episode, from 0.  # (lanes,)
        words: Random bits, the only source of randomness.  # (lanes, agents) uint64
        decide: The team's decision on vectors of actions.
    """

    actions: Int8Array
    faulty: BoolArray
    labels: BoolArray
    steps: IntArray
    words: WordArray
    decide: Decide


class Fault(ABC):
    """Behaviour of faulty sensors; a subclass implements ``_claims``.

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
    ) -> Int8Array:
        """The agreed actions: see :class:`Scene` for the arguments.

        ``decide`` defaults to ``rule``, under which all votes have the same weight.

        Returns:
            Actions of the honest sensors and claims of the faulty ones, -1 for silence.
            # (lanes, agents) int8

        Raises:
            InvalidActionError: If a claim is neither an action nor silence.
        """
        scene = Scene(actions, faulty, labels, steps, words, decide or self.rule)
        agreed = np.where(faulty, np.asarray(self._claims(scene)), actions)
        if ((agreed < SILENT) | (agreed >= ACTIONS)).any():
            raise InvalidActionError(
                f"{type(self).__name__} claims actions from {agreed.min()} to {agreed.max()}; "
                f"a claim is an action, 0 to {ACTIONS - 1}, or {SILENT} for silence"
            )
        return agreed.astype(np.int8, copy=False)

    @abstractmethod
    def _claims(self, scene: Scene) -> Any:
        """Claim of each sensor if it were faulty, -1 for silence.

        Returns:
            Integers that broadcast to (lanes, agents); those of honest sensors are not used.
        """


FAULTS: dict[str, type[Fault]] = {}


def register_fault(name: str) -> Callable[[_Class], _Class]:
    """Class decorator that registers a fault under a name.

    Raises:
        ConfigError: If the name is taken.
    """
    if name in FAULTS:
        raise ConfigError(
            f"fault {name!r} is taken by {FAULTS[name].__name__}; choose another name"
        )

    def register(fault: _Class) -> _Class:
        FAULTS[name] = fault
        return fault

    return register


def make_fault(name: str, rule: DecisionRule, **options: Any) -> Fault:
    """The fault that is registered under a name.

    Args:
        name: A name from ``FAULTS``.
        rule: The rule that turns the agreed actions into a decision.
        options: Arguments of the fault, such as ``start`` of ``sleeper``.

    Raises:
        UnknownNameError: If there is no such fault.
    """
    if name not in FAULTS:
        raise UnknownNameError("fault", name, sorted(FAULTS))
    return FAULTS[name](rule, **options)


def draw_faulty(words: WordArray, count: int) -> BoolArray:
    """Draw ``count`` faulty sensors in every lane, each subset with the same probability.

    Args:
        words: Independent random bits.  # (lanes, agents) uint64
        count: Faulty sensors per lane, 0 to agents.

    Returns:
        True for the faulty sensors.  # (lanes, agents) bool

    Raises:
        ConfigError: If there are fewer than ``count`` sensors.
    """
    check_range("faulty", count, 0, words.shape[1])
    faulty = np.zeros(words.shape, bool)
    np.put_along_axis(faulty, words.argsort(axis=1)[:, :count], True, axis=1)
    return faulty


@register_fault("random")
class RandomAction(Fault):
    """A uniformly random action."""

    def _claims(self, scene: Scene) -> Int8Array:
        return (scene.words % np.uint64(ACTIONS)).astype(np.int8)


@register_fault("flip")
class Flip(Fault):
    """The opposite class: Allow and Block change places, and so do Quarantine and Alert."""

    def _claims(self, scene: Scene) -> Int8Array:
        return scene.actions ^ np.int8(1)


class Constant(Fault):
    """The same claim at every step."""

    claim: int

    def _claims(self, scene: Scene) -> int:  # noqa: ARG002 - the scene does not matter
        return self.claim


@register_fault("always_allow")
class AlwaysAllow(Constant):
    """Always Allow, as colluders would to let an attack pass."""

    claim = Action.ALLOW


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

    def _claims(self, scene: Scene) -> Int8Array:
        honest = ~scene.faulty
        threats = (THREAT_VOTE[scene.actions] & honest).sum(axis=1)
        denied = np.where(2 * threats > honest.sum(axis=1), Action.ALLOW, Action.BLOCK)
        return denied.astype(np.int8)[:, None]


@register_fault("worst_case")
class WorstCase(Fault):
    """The claim with the greatest ``HARM``, given the honest votes, the label and the rule.

    All faulty sensors claim the same action. A mixture never does more harm, since claims for one
    action raise the count of that action alone.
    """

    def _claims(self, scene: Scene) -> Int8Array:
        labels = scene.labels.astype(np.int8)
        agreed = [np.where(scene.faulty, np.int8(claim), scene.actions) for claim in Action]
        harm = np.stack([HARM[labels, scene.decide(actions)] for actions in agreed])
        best: Int8Array = harm.argmax(axis=0).astype(np.int8)
        return best[:, None]


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

    def _claims(self, scene: Scene) -> Int8Array:
        awake = scene.steps[:, None] >= self.start
        return np.where(awake, super()._claims(scene), scene.actions)
