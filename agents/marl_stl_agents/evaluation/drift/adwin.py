"""ADWIN: a change of the mean of a stream, without a reference.

Bifet and Gavaldà (2007), "Learning from time-changing data with adaptive windowing", SIAM Data
Mining. A window of the latest values is cut wherever the means of its two parts differ by more than
chance allows; then the older part is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Least values on each side of a cut.
_LEAST = 5


class Adwin:
    """The first algorithm of the paper (ADWIN0), with its bound for the variance at hand.

    It looks at every cut of a window of bounded length. With a few hundred values that costs
    less than the buckets of the paper's second algorithm.

    Args:
        delta: Bound on the probability that a value without a change before it cuts the window.
        most: Values that are remembered.

    Attributes:
        values: The values of the window, each in [0, 1].
    """

    def __init__(self, delta: float = 0.002, most: int = 512) -> None:
        self._delta, self._most = delta, most
        self.values: list[float] = []

    def add(self, value: float) -> bool:
        """Take the next value, in [0, 1]; True where the mean has changed before it."""
        self.values = [*self.values[-self._most + 1 :], value]
        changed = False
        while (cut := self._cut()) is not None:
            self.values, changed = self.values[cut:], True
        return changed

    def _cut(self) -> int | None:
        """The cut with the clearest difference; None where chance explains all of them."""
        total = len(self.values)
        if total < 2 * _LEAST:
            return None
        values = np.array(self.values)
        left = np.arange(_LEAST, total - _LEAST + 1)
        sums = np.cumsum(values)[left - 1]
        right = total - left
        difference = np.abs(sums / left - (values.sum() - sums) / right)
        harmonic = 1.0 / (1.0 / left + 1.0 / right)
        logarithm = np.log(2.0 * np.log(total) / self._delta)  # delta' = delta / ln n, section 3.2
        bound = np.sqrt(2.0 / harmonic * values.var() * logarithm)
        bound += 2.0 / (3.0 * harmonic) * logarithm
        excess = difference - bound
        best = int(excess.argmax())
        return int(left[best]) if excess[best] > 0 else None

    def restore(self, values: Sequence[float]) -> None:
        """Go on with the values of another one's window."""
        self.values = [float(value) for value in values]
