"""The array operations of the environment on a torch device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from marl_stl_env.arrays import shift_right
from marl_stl_env.types import AnyArray, Float32Array

Precision = Literal["float32", "float16"]

_PAIRS, _QUADS, _BYTES = 0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F
_SUM_OF_BYTES = 0x0101010101010101


class TorchArrays:
    """torch on a device; implements :class:`~marl_stl_env.arrays.Arrays`.

    Args:
        device: Where the arrays live.
        precision: In which the features of the table are kept; observations are float32.
    """

    def __init__(self, device: torch.device, precision: Precision = "float32") -> None:
        self.device, self._precision = device, getattr(torch, precision)
        self._constants: dict[int, tuple[AnyArray, Tensor]] = {}

    def asarray(self, array: AnyArray) -> Tensor:
        """A copy on the device; uint64 becomes int64, since torch adds no uint64."""
        if array.dtype == np.uint64:
            array = array.view(np.int64)
        return torch.tensor(array, device=self.device)

    def tonumpy(self, array: Tensor, kind: DTypeLike) -> AnyArray:
        """A copy on the host, for which it waits."""
        there: AnyArray = array.cpu().numpy()
        wanted = np.dtype(kind)
        return there.copy().view(wanted) if wanted == np.uint64 else there.astype(wanted)

    def table(self, features: Float32Array) -> Tensor:
        """A copy on the device, in the chosen precision."""
        return torch.tensor(features, dtype=self._precision, device=self.device)

    def constant(self, array: AnyArray) -> Tensor:
        """The array on the device, to which it is copied once."""
        if id(array) not in self._constants:
            self._constants[id(array)] = array, self.asarray(array)
        return self._constants[id(array)][1]

    def cycle(self, length: int) -> Iterator[Tensor]:
        """One tensor that moves on, in a CUDA graph too: (1,) int64 on the device."""
        place = torch.zeros(1, dtype=torch.int64, device=self.device)
        while True:
            yield place
            place += 1
            place %= length

    def zeros(self, *shape: int) -> Tensor:
        """Zeros.  # shape, float32."""
        return torch.zeros(shape, device=self.device)

    def cast(self, array: Tensor, kind: DTypeLike) -> Tensor:
        """The tensor in another type; itself where it has it."""
        return array.to(getattr(torch, np.dtype(kind).name))

    def copy(self, array: Tensor) -> Tensor:
        """A copy."""
        return array.clone()

    def take(self, values: Tensor, index: Tensor) -> Tensor:
        """The entries."""
        return values[index]

    def put(self, values: Tensor, at: Any, entries: Tensor) -> None:
        """``values[at] = entries``, in the type of ``values``."""
        values[at] = entries.to(values.dtype)

    def fill(self, values: Tensor, mask: Tensor, number: float) -> None:
        """Write a number where the mask, over the first axis, holds."""
        values.masked_fill_(mask.reshape(-1, *(1,) * (values.ndim - 1)), number)

    def fill_columns(self, values: Tensor, mask: Tensor, number: float) -> None:
        """Write a number where the mask, over the last axis, holds."""
        values.masked_fill_(mask, number)

    def where(self, condition: Tensor, values: Any, others: Any) -> Tensor:
        """``torch.where``."""
        return torch.where(condition, values, others)

    def replace(self, values: Tensor, mask: Tensor, others: Any) -> None:
        """Write what ``torch.where`` chooses."""
        values.copy_(torch.where(mask, others, values))

    def surely_none(self, mask: Tensor) -> bool:
        """False: to know, the host would have to wait."""
        del mask
        return False

    def surely_all(self, mask: Tensor) -> bool:
        """False: to know, the host would have to wait."""
        del mask
        return False

    def any_of_rows(self, mask: Tensor) -> Tensor:
        """``any`` along the rows."""
        return mask.any(dim=1)

    def minimum(self, values: Tensor, others: Tensor, out: Any = None) -> Tensor:
        """``torch.minimum``."""
        return torch.minimum(values, others, out=out)

    def maximum(self, values: Tensor, others: Tensor, out: Any = None) -> Tensor:
        """``torch.maximum``."""
        return torch.maximum(values, others, out=out)

    def least(self, values: Tensor) -> Tensor:
        """The smallest along the first axis."""
        return values.amin(dim=0)

    def greatest(self, values: Tensor) -> Tensor:
        """The largest along the first axis."""
        return values.amax(dim=0)

    def above(self, values: Tensor, bound: int) -> Tensor:
        """The values, or the bound where they are below it."""
        return values.clamp(min=bound)

    def log(self, values: Tensor) -> Tensor:
        """``torch.log``, whose last bit may differ from numpy's."""
        return values.log()

    def stack(self, parts: Sequence[Tensor]) -> Tensor:
        """``torch.stack``."""
        return torch.stack(list(parts))

    def beside(self, parts: Sequence[Tensor]) -> Tensor:
        """The columns of all parts."""
        return torch.cat(list(parts), dim=1)

    def columns(self, values: Tensor, count: int) -> Tensor:
        """A fresh tensor of so many columns, each of which holds the values."""
        return values[:, None].repeat(1, count)

    def lanes_of(self, mask: Tensor) -> slice:
        """All lanes: to count those of the mask, the host would have to wait."""
        del mask
        return slice(None)

    def bits(self, words: Tensor) -> Tensor:
        """The words, which are int64 already."""
        return words

    def words(self, bits: Tensor) -> Tensor:
        """The bits: torch adds no uint64."""
        return bits

    def count_bits(self, bits: Any) -> Tensor:
        """How many bits of each word are 1, by sums within ever larger groups of bits."""
        bits = bits - (shift_right(bits, 1) & _PAIRS)
        bits = (bits & _QUADS) + (shift_right(bits, 2) & _QUADS)
        bits = (bits + shift_right(bits, 4)) & _BYTES
        counts: Any = shift_right(bits * _SUM_OF_BYTES, 56)
        ones: Tensor = counts
        return ones

    def below(self, bits: Any, bound: int) -> Tensor:
        """Uniform integers, by the same float64 arithmetic as numpy's."""
        upper: Any = shift_right(bits, 11)
        integers: Tensor = (upper.double() * 2.0**-53 * bound).long()
        return integers

    def on_host(self, function: Callable[..., AnyArray], *given: Tensor) -> Tensor:
        """What a numpy function returns, for which the host waits."""
        return self.asarray(function(*(one.cpu().numpy() for one in given)))
