"""Protocols by which n sensors agree on one vector of actions although f of them are Byzantine.

Every protocol solves interactive consistency: each sensor starts with one value and ends with a
vector of n values. With at most f Byzantine sensors among n >= 3 f + 1,

- all honest sensors end with the same vector (agreement);
- the entry of every honest sensor is the value it started with (validity);
- the number of rounds is fixed (termination).

The model is synchronous with oral messages: channels are reliable and identify the sender, and
nothing is signed. A missing message counts as the value "silence" (-1).

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

#: ``adversary(number, messages) -> messages``. Called once per round, counted from 0, with the
#: messages that all sensors would send if they were honest: ``messages[lane, receiver, sender,
#: ...]``, int8. It returns an array of that shape. Only the entries of Byzantine senders are used;
#: values that are no action count as silence. The adversary is rushing: it sees all honest
#: messages of a round before it sends its own.
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


_NO_PROPOSAL = -2  # in place of a proposal: no value reached the quorum
_VALUES = range(SILENT, ACTIONS)


def ideal(
    votes: Int8Array, byzantine: BoolArray, max_faulty: int, adversary: Adversary | None = None
) -> Int8Array:
    """The reference for all protocols: a trusted party receives every vote and broadcasts it.

    It is the only receiver, so a Byzantine sensor cannot equivocate. Arguments and result are
    those of :func:`eig`; ``max_faulty`` is not used.
    """
    del max_faulty
    lanes, agents = votes.shape
    received = _deliver(0, _to_all(votes, 1), byzantine, adversary)
    return np.broadcast_to(received, (lanes, agents, agents))


def plain(
    votes: Int8Array, byzantine: BoolArray, max_faulty: int, adversary: Adversary | None = None
) -> Int8Array:
    """One broadcast round, taken at face value: no agreement under equivocation.

    Arguments and result are those of :func:`eig`; ``max_faulty`` is not used.
    """
    del max_faulty
    agents = votes.shape[1]
    return _deliver(0, _to_all(votes, agents), byzantine, adversary)


def eig(
    votes: Int8Array, byzantine: BoolArray, max_faulty: int, adversary: Adversary | None = None
) -> Int8Array:
    """Exponential information gathering: f + 1 rounds, messages of n**f values.

    Round 0 exchanges the votes; every later round relays all that was received in the one before.
    A sensor then holds one value for every path (s, q, ..., z) of distinct sensors: the vote of s
    as relayed by q, and so on up to z. Values are resolved from the longest paths to the shortest,
    as the strict majority of a path's continuations, or silence if there is none (Lamport, Shostak
    and Pease 1982, algorithm OM(f)).

    Args:
        votes: Vote of each sensor, 0 to 3.  # (lanes, agents) int8
        byzantine: True for the sensors whose messages the adversary replaces.
            # (lanes, agents) bool
        max_faulty: Number of Byzantine sensors f that the protocol must tolerate.
        adversary: Messages of the Byzantine sensors; None lets them follow the protocol.

    Returns:
        ``agreed[lane, receiver, sender]``: the vector that each sensor ends with. Rows of
        Byzantine receivers are meaningless.  # (lanes, agents, agents) int8
    """
    agents = votes.shape[1]
    held = _deliver(0, _to_all(votes, agents), byzantine, adversary)
    for number in range(1, max_faulty + 1):  # held[lane, receiver, *path]
        received = _deliver(number, _to_all(held, agents), byzantine, adversary)
        held = np.moveaxis(received, 2, -1)
    for length in range(max_faulty, 0, -1):
        held = _majority(np.where(_distinct(agents, length + 1), held, SILENT), agents - length)
    return held


def parallel_kings(
    votes: Int8Array, byzantine: BoolArray, max_faulty: int, adversary: Adversary | None = None
) -> Int8Array:
    """Phase King on the vote of every sensor in parallel: 1 + 3 (f + 1) rounds.

    Messages have n values, whatever f (Berman, Garay and Perry 1989). Arguments and result are
    those of :func:`eig`.
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

    1. All sensors send their values; a sensor that receives one at least n - f times proposes it.
    2. All send their proposals; a sensor that receives one more than f times adopts it.
    3. The king sends its value; a sensor that received its proposal fewer than n - f times adopts
       the king's.

    With n > 3 f, a value that all honest sensors hold persists, and all hold the same value after
    the phase of an honest king.

    Args:
        held: Values, ``held[lane, agent, instance]``.  # (lanes, agents, instances) int8
        byzantine: True for the sensors whose messages the adversary replaces.
            # (lanes, agents) bool
        max_faulty: Number of Byzantine sensors f that the protocol must tolerate.
        king: The phase, which is also the index of its king.
        adversary: Messages of the Byzantine sensors; None lets them follow the protocol.

    Returns:
        Values after the phase.  # (lanes, agents, instances) int8
    """
    agents = held.shape[1]
    quorum = agents - max_faulty
    received = _deliver(1 + 3 * king, _to_all(held, agents), byzantine, adversary)
    proposal = np.full_like(held, _NO_PROPOSAL)
    for value in _VALUES:
        proposal[_count(received, value) >= quorum] = value
    received = _deliver(2 + 3 * king, _to_all(proposal, agents), byzantine, adversary)
    supported = np.zeros_like(held, bool)
    for value in _VALUES:
        support = _count(received, value)
        held = np.where(support > max_faulty, np.int8(value), held)
        supported |= support >= quorum
    kings = slice(king, king + 1)
    sent = _to_all(held[:, kings], agents)
    received = _deliver(3 + 3 * king, sent, byzantine[:, kings], adversary)
    return np.where(supported, held, received[:, :, 0])


def decisions(agreed: Int8Array, rule: DecisionRule) -> Int8Array:
    """The decision that each sensor derives from its agreed vector.

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
    """Messages that broadcast every sender's values to all receivers.

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
    received = np.array(messages, order="F")
    forged = np.asfortranarray(adversary(number, messages))
    forged = np.where((forged >= SILENT) & (forged < ACTIONS), forged, np.int8(SILENT))
    senders = byzantine.reshape(len(byzantine), 1, -1, *[1] * (messages.ndim - 3))
    np.copyto(received, forged, where=senders)
    return received


def _count(messages: Int8Array, value: int) -> Int8Array:
    """Number of senders from which each receiver got this value."""
    count: Int8Array = (messages == value).sum(axis=2, dtype=np.int8)
    return count


def _majority(values: Int8Array, total: int) -> Int8Array:
    """The action of more than half of ``total`` entries along the last axis, else silence."""
    result = np.full(values.shape[:-1], SILENT, np.int8)
    for action in range(ACTIONS):
        result[2 * (values == action).sum(axis=-1, dtype=np.int8) > total] = action
    return result


@cache
def _distinct(agents: int, length: int) -> BoolArray:
    """True for the paths, by their index, that visit no sensor twice."""
    paths = np.sort(np.indices((agents,) * length), axis=0)
    distinct: BoolArray = np.logical_and.reduce(np.diff(paths, axis=0) > 0)
    return distinct
