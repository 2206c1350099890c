"""Where the values of signals stand among the rows of one array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from marl_stl_env.engine.spec_signals.counts import Key
from marl_stl_env.engine.spec_signals.names import BIT, DERIVED, PRESENT


@dataclass(frozen=True)
class Pairs:
    """Signals that are each computed of two rows, a part and its whole, all in one operation.

    Attributes:
        names: The signals.
        first: Row of the first one's part. The other parts follow, and then the wholes.
        own: Row of the first one's values.
    """

    names: tuple[str, ...]
    first: int
    own: int

    @property
    def parts(self) -> slice:
        """The rows of the parts."""
        return slice(self.first, self.first + len(self.names))

    @property
    def wholes(self) -> slice:
        """The rows of the wholes."""
        return slice(self.parts.stop, self.parts.stop + len(self.names))

    @property
    def values(self) -> slice:
        """The rows of the signals."""
        return slice(self.own, self.own + len(self.names))


@dataclass(frozen=True)
class SignalRows:
    """The rows of an array that holds counts first and then what is computed.

    Attributes:
        keys: What is counted, in the order of the first rows.
        margins: The signals that say what is left of an allowance.
        shares: Those that are shares.
        rows: Name of every signal to its row.
        total: Number of rows.
    """

    keys: tuple[Key, ...]
    margins: Pairs
    shares: Pairs
    rows: dict[str, int]
    total: int

    @classmethod
    def of(cls, signals: Mapping[str, Key], isolation: int) -> SignalRows:
        """The rows for these signals.

        Args:
            signals: Name to kind and window.
            isolation: Steps that an isolation lasts.
        """
        counted = {name: _counted(*signal, isolation) for name, signal in signals.items()}
        pairs = [name for name, keys in counted.items() if len(keys) == 2]
        margins = tuple(name for name in pairs if signals[name][0].endswith("_margin"))
        shares = tuple(name for name in pairs if name not in margins)
        sides = [counted[n][side] for names in (margins, shares) for side in (0, 1) for n in names]
        keys = tuple(dict.fromkeys(chain(sides, *counted.values())))
        others = [name for name, keys_of in counted.items() if not keys_of]
        computed = [*margins, *shares, *others]
        rows = {name: keys.index(found[0]) for name, found in counted.items() if len(found) == 1}
        rows |= {name: len(keys) + place for place, name in enumerate(computed)}
        return cls(
            keys,
            Pairs(margins, 0, len(keys)),
            Pairs(shares, 2 * len(margins), len(keys) + len(margins)),
            rows,
            len(keys) + len(computed),
        )


def _counted(kind: str, window: int, isolation: int) -> tuple[Key, ...]:
    """What is counted for a signal: itself, or a part and its whole, or nothing."""
    if kind in BIT:
        return ((kind, window),)
    if kind == "quarantined":
        return (("quarantines", isolation),)
    if kind == "quarantined_fraction":
        return ("quarantines", isolation), PRESENT
    return tuple((part, window) for part in DERIVED.get(kind, ()))
