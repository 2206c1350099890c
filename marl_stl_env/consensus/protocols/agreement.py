"""How n sensors come to hold the same vector of actions although f of them lie.

Every protocol is interactive consistency: each sensor starts with one value, and each ends with a
vector of n values. With at most f Byzantine sensors among n >= 3 f + 1, all honest sensors end
with the same vector (agreement), in which every honest sensor's value is its own (validity),
after a fixed number of rounds (termination). The model is synchronous, with channels that are
reliable and tell who is speaking ("oral messages"); nothing is signed.

Silence (-1) is a value like any other: a sensor that sends nothing was heard to say nothing.

References:
    Lamport, Shostak and Pease (1982), "The Byzantine generals problem", ACM TOPLAS 4(3).
    Bar-Noy, Dolev, Dwork and Strong (1987), "Shifting gears: changing algorithms on the fly to
    expedite Byzantine agreement", PODC (the tree form of the above).
    Berman, Garay and Perry (1989), "Towards optimal distributed consensus", FOCS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import MappingProxyType
from typing import Protocol, TypeAlias

import numpy as np

from marl_stl_env.consensus.rules import SILENT, DecisionRule
from marl_stl_env.types import ACTIONS, BoolArray, Int8Array

#: ``adversary(number, messages) -> messages``. Called once per round, counted from 0, with what
#: every sensor would send if it were honest: ``messages[lane, receiver, sender, ...]``, int8. It
#: returns an array of that shape. Only entries of Byzantine senders are used, and values that are
#: no action count as silence. So it sees all honest messages of a round before it speaks.
Adversary: TypeAlias = Callable[[int, Int8Array], Int8Array]


class Agreement(Protocol):
    """The signature of a protocol; see :func:`eig` for the arguments and the result."""

    def __call__(  # noqa: D102
        self,
        votes: Int8Array,
        byzantine: BoolArray,
        max_faulty: int,
        adversary: Adversary | None = None,
    ) -> Int8Array: ...


_NOTHING = -2  # a sensor that proposes no value
_VALUES = range(SILENT, ACTIONS)


def ideal(
    votes: Int8Array, byzantine: BoolArray, max_faulty: int, adversary: Adversary | None = None
) -> Int8Array:
    """What the protocols must be as good as: a trusted party hears each sensor once, tells all.

    There is one "receiver", so a Byzantine sensor cannot equivocate. Arguments and result are
    those of :func:`eig`; ``max_faulty`` plays no part.
    """
    del max_faulty
    lanes, agents = votes.shape
    heard = _deliver(0, _to_all(votes, 1), byzantine, adversary)
    return np.broadcast_to(heard, (lanes, agents, agents))


def plain(
    votes: Int8Array, byzantine: BoolArray, max_faulty: int, adversary: Adversary | None = None
) -> Int8Array:
    """One exchange, each sensor believing what it hears: no agreement under equivocation.

    Arguments and result are those of :func:`eig`; ``max_faulty`` plays no part.
    """
    del max_faulty
    agents = votes.shape[1]
    return _deliver(0, _to_all(votes, agents), byzantine, adversary)


def eig(
    votes: Int8Array, byzantine: BoolArray, max_faulty: int, adversary: Adversary | None = None
) -> Int8Array:
    """Exponential information gathering: f + 1 rounds, messages of n**f values.

    Round 0 exchanges the votes; each later round relays all that was heard in the one before, so
    that a sensor holds for every path (s, q, ...) of distinct sensors what the last one said that
    the one before it said ... that s voted. Values are then settled from the longest paths up, by
    strict majority of a path's continuations, silence where there is none (Lamport, Shostak and
    Pease 1982, algorithm OM(f)).

    Args:
        votes: What each sensor holds, 0 to 3.  # (lanes, agents) int8
        byzantine: True for the sensors whose messages the adversary replaces.  # (lanes, agents)
        max_faulty: The number f that the protocol is built to withstand.
        adversary: What Byzantine sensors send; None lets them follow the protocol.

    Returns:
        ``agreed[lane, receiver, sender]``: the vector each sensor ends with. Rows of Byzantine
        receivers mean nothing.  # (lanes, agents, agents) int8
    """
    agents = votes.shape[1]
    held = _deliver(0, _to_all(votes, agents), byzantine, adversary)
    for number in range(1, max_faulty + 1):  # held[lane, receiver, *path]
        heard = _deliver(number, _to_all(held, agents), byzantine, adversary)
        held = np.moveaxis(heard, 2, -1)
    for length in range(max_faulty, 0, -1):
        held = _majority(np.where(_distinct(agents, length + 1), held, SILENT), agents - length)
    return held


def parallel_kings(
    votes: Int8Array, byzantine: BoolArray, max_faulty: int, adversary: Adversary | None = None
) -> Int8Array:
    """One Phase King agreement on each sensor's vote, side by side: 1 + 3 (f + 1) rounds.

    Messages stay short, n values, whatever f (Berman, Garay and Perry 1989). Arguments and result
    are those of :func:`eig`.
    """
    agents = votes.shape[1]
    held = _deliver(0, _to_all(votes, agents), byzantine, adversary)
    for king in range(max_faulty + 1):
        held = king_phase(held, byzantine, max_faulty, king, adversary)
    return held


def king_phase(
    held: Int8Array,
    byzantine: BoolArray,
    max_faulty: int,
    king: int,
    adversary: Adversary | None = None,
) -> Int8Array:
    """One phase of Phase King, rounds 1 + 3 king to 3 + 3 king.

    All tell what they hold; who hears n - f times the same proposes it; who hears a proposal more
    than f times takes it over; and who hears it fewer than n - f times takes the king's value.
    With n > 3 f, honest sensors that hold the same keep it, and all hold the same after the phase
    of an honest king.

    Args:
        held: ``held[lane, agent, instance]``.  # (lanes, agents, instances) int8
        byzantine: True for the sensors whose messages the adversary replaces.  # (lanes, agents)
        max_faulty: The number f that the protocol is built to withstand.
        king: The phase, and the sensor that is king in it.
        adversary: What Byzantine sensors send; None lets them follow the protocol.

    Returns:
        What the sensors hold after the phase.  # (lanes, agents, instances) int8
    """
    agents = held.shape[1]
    many = agents - max_faulty
    told = _deliver(1 + 3 * king, _to_all(held, agents), byzantine, adversary)
    proposal = np.full_like(held, _NOTHING)
    for value in _VALUES:
        proposal[_count(told, value) >= many] = value
    told = _deliver(2 + 3 * king, _to_all(proposal, agents), byzantine, adversary)
    sure = np.zeros_like(held, bool)
    for value in _VALUES:
        support = _count(told, value)
        held = np.where(support > max_faulty, np.int8(value), held)
        sure |= support >= many
    ruler = slice(king, king + 1)
    told = _to_all(held[:, ruler], agents)
    told = _deliver(3 + 3 * king, told, byzantine[:, ruler], adversary)
    return np.where(sure, held, told[:, :, 0])


def decisions(agreed: Int8Array, rule: DecisionRule) -> Int8Array:
    """The decision of each sensor on the vector that it holds.

    Args:
        agreed: The result of a protocol, or of some receivers.  # (lanes, receivers, agents) int8
        rule: The team's decision rule.

    Returns:
        ``decisions[lane, receiver]``.  # (lanes, receivers) int8
    """
    lanes, receivers, agents = agreed.shape
    return rule(agreed.reshape(lanes * receivers, agents)).reshape(lanes, receivers)


#: The protocols by name.
PROTOCOLS = MappingProxyType[str, Agreement](
    {"ideal": ideal, "eig": eig, "kings": parallel_kings, "plain": plain}
)


def _to_all(held: Int8Array, receivers: int) -> Int8Array:
    """Messages by which every sender tells all receivers what it holds.

    ``held[lane, sender, ...]`` becomes ``messages[lane, receiver, sender, ...]``, a view.
    """
    lanes, *rest = held.shape
    return np.broadcast_to(held[:, None], (lanes, receivers, *rest))


def _deliver(
    number: int, messages: Int8Array, byzantine: BoolArray, adversary: Adversary | None
) -> Int8Array:
    """The messages of one round, those of Byzantine senders replaced by the adversary's."""
    if adversary is None:
        return messages
    # Arrays contiguous along lanes make every protocol several times faster.
    told, lies = np.array(messages, order="F"), np.asfortranarray(adversary(number, messages))
    lies = np.where((lies >= SILENT) & (lies < ACTIONS), lies, np.int8(SILENT))
    senders = byzantine.reshape(len(byzantine), 1, -1, *[1] * (messages.ndim - 3))
    np.copyto(told, lies, where=senders)
    return told


def _count(messages: Int8Array, value: int) -> Int8Array:
    """How many senders tell each receiver this value."""
    count: Int8Array = (messages == value).sum(axis=2, dtype=np.int8)
    return count


def _majority(values: Int8Array, total: int) -> Int8Array:
    """The action that more than half of ``total`` entries of the last axis hold, else silence."""
    result = np.full(values.shape[:-1], SILENT, np.int8)
    for action in range(ACTIONS):
        result[2 * (values == action).sum(axis=-1, dtype=np.int8) > total] = action
    return result


@cache
def _distinct(agents: int, length: int) -> BoolArray:
    """True for the paths, by their index, that pass no sensor twice."""
    paths = np.sort(np.indices((agents,) * length), axis=0)
    distinct: BoolArray = np.logical_and.reduce(np.diff(paths, axis=0) > 0)
    return distinct
