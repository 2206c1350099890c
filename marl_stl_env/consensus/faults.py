"""What faulty sensors say in place of their own action.

Under agreement (:mod:`marl_stl_env.consensus.protocols.agreement`) a Byzantine sensor, whatever
it tells whom, ends up with one value that all honest sensors hold for it, or with silence. A fault
chooses that value. Everything here works lane by lane, so lanes may be handed over in any grouping.
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

#: How bad a decision is for the defender, ``HARM[label, action]``: a wrong class is worse than
#: any right one; on a benign event isolating the host is worst and a needless alert better than
#: a block; a threat that passes unseen is worst, and one that is only blocked goes on elsewhere.
HARM: Int8Array = np.array([[0, 2, 3, 1], [3, 1, 0, 2]], np.int8)


class Scene(NamedTuple):
    """What a faulty sensor may know about one step; faults see more than honest sensors do.

    Attributes:
        actions: What every sensor would do if it were honest.  # (lanes, agents) int8
        faulty: True for faulty sensors.  # (lanes, agents) bool
        labels: True where the event is a threat.  # (lanes,) bool
        steps: Step of each lane's episode, from 0.  # (lanes,)
        words: Random bits, the only source of chance.  # (lanes, agents) uint64
        decide: What the team would decide on a vector of actions.
    """

    actions: Int8Array
    faulty: BoolArray
    labels: BoolArray
    steps: IntArray
    words: WordArray
    decide: Decide


class Fault(ABC):
    """A way for sensors to be faulty. A subclass says in ``_claims`` what a faulty sensor claims.

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
        """The actions as agreed upon; see :class:`Scene` for the arguments.

        Without ``decide`` the team decides by ``rule``, as it does where all votes count alike.

        Returns:
            The honest sensors' actions and the faulty sensors' claims, -1 for silence.
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
        """What each sensor would claim if it were faulty, -1 for silence.

        Returns:
            Whole numbers that broadcast to (lanes, agents); those of honest sensors are unused.
        """


FAULTS: dict[str, type[Fault]] = {}


def register_fault(name: str) -> Callable[[_Class], _Class]:
    """Class decorator that makes a fault known under a name.

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
    """The fault known under a name.

    Args:
        name: A name from ``FAULTS``.
        rule: The rule that turns the agreed actions into a decision.
        options: Passed on to the fault, such as ``start`` of a sleeper.

    Raises:
        UnknownNameError: If there is no such fault.
    """
    if name not in FAULTS:
        raise UnknownNameError("fault", name, sorted(FAULTS))
    return FAULTS[name](rule, **options)


def draw_faulty(words: WordArray, count: int) -> BoolArray:
    """Choose ``count`` faulty sensors in every lane, each set with the same probability.

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
    """Any of the four actions, each with the same probability."""

    def _claims(self, scene: Scene) -> Int8Array:
        return (scene.words % np.uint64(ACTIONS)).astype(np.int8)


@register_fault("flip")
class Flip(Fault):
    """The opposite of what it holds: Allow for Block, Quarantine for Alert, and back."""

    def _claims(self, scene: Scene) -> Int8Array:
        return scene.actions ^ np.int8(1)


class Constant(Fault):
    """Always the same claim."""

    claim: int

    def _claims(self, scene: Scene) -> int:  # noqa: ARG002 - it does not look
        return self.claim


@register_fault("always_allow")
class AlwaysAllow(Constant):
    """Allow, whatever happens: colluders who let everything in."""

    claim = Action.ALLOW


@register_fault("silent")
class Silent(Constant):
    """Nothing: a sensor that crashed or was cut off."""

    claim = SILENT


@register_fault("equivocate")
class Equivocate(Fault):
    """Allow to some and Block to others; what is agreed on is what the honest majority denies.

    It knows the honest votes but not the truth.
    """

    def _claims(self, scene: Scene) -> Int8Array:
        honest = ~scene.faulty
        threats = (THREAT_VOTE[scene.actions] & honest).sum(axis=1)
        denied = np.where(2 * threats > honest.sum(axis=1), Action.ALLOW, Action.BLOCK)
        return denied.astype(np.int8)[:, None]


@register_fault("worst_case")
class WorstCase(Fault):
    """The colluders' best reply to the honest votes, the truth and the decision rule.

    It does the most harm by ``HARM``. All faulty sensors claim the same action: a mixture never
    does more, since claims for one action raise its count and no other.
    """

    def _claims(self, scene: Scene) -> Int8Array:
        labels = scene.labels.astype(np.int8)
        agreed = [np.where(scene.faulty, np.int8(claim), scene.actions) for claim in Action]
        harm = np.stack([HARM[labels, scene.decide(actions)] for actions in agreed])
        best: Int8Array = harm.argmax(axis=0).astype(np.int8)
        return best[:, None]


@register_fault("sleeper")
class Sleeper(WorstCase):
    """Honest until a step of the episode, then the worst case.

    Args:
        rule: The rule that turns the agreed actions into a decision.
        start: First step of its treason, counted from 0.
    """

    def __init__(self, rule: DecisionRule, start: int = 100) -> None:
        super().__init__(rule)
        check_range("start", start, 0)
        self.start = start

    def _claims(self, scene: Scene) -> Int8Array:
        awake = scene.steps[:, None] >= self.start
        return np.where(awake, super()._claims(scene), scene.actions)
