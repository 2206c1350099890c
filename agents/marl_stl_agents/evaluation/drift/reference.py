"""What a training keeps of its traffic, so that new traffic can be compared with it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from marl_stl_agents.evaluation.drift.binning import Binning, numeric, quantile_edges
from marl_stl_env.data.encoding import Column
from marl_stl_env.errors import RunError
from marl_stl_env.files import atomic_path
from marl_stl_env.types import AnyArray, Float64Array, IntArray

SCORE = "threat_score"
#: Gives the features from one event of a stream to before another.
Reader: TypeAlias = Callable[[int, int], AnyArray]
_VERSION = 1
_MOST_BLOCKS, _LEAST_BLOCKS = 256, 8
_LONGEST, _SHORTEST = 1024, 16


@dataclass(frozen=True, eq=False)
class Blocks:
    """Counts of consecutive events, block after block.

    Their sum is what new traffic is compared with. How much they differ from each other says how
    much undrifted traffic does: events of a stream come in bursts, so the events of a block are no
    independent draws, but blocks nearly are.

    Attributes:
        binning: What was counted.
        counts: Events in each bin.  # (blocks, bins of all columns) int64
        length: Events of a block.
    """

    binning: Binning
    counts: IntArray
    length: int

    @classmethod
    def of(cls, binning: Binning, events: int, read: Reader) -> Blocks | None:
        """Count at most 256 blocks, spread evenly; None where there are fewer than 8.

        Args:
            binning: How.
            events: Events of the stream.
            read: Gives the scaled features from one event to before another.
        """
        length, starts = _places(events)
        if len(starts) < _LEAST_BLOCKS:
            return None
        counts = [binning.counts(read(at, at + length)) for at in starts]
        return cls(binning, np.stack(counts), length)


def _places(events: int) -> tuple[int, list[int]]:
    """Length of a block, and where each begins."""
    length = int(np.clip(events // _MOST_BLOCKS, _SHORTEST, _LONGEST))
    blocks = min(events // length, _MOST_BLOCKS)
    return length, np.linspace(0, events - length, blocks).astype(int).tolist() if blocks else []


@dataclass(frozen=True, eq=False)
class Reference:
    """The traffic that a team knows.

    Attributes:
        columns: Its columns, of the training and validation splits.
        scores: The team's threat scores on a part of both.
        checked: Windows of the validation split that were compared with it, and how many of them
            had an alarm.
    """

    columns: Blocks
    scores: Blocks
    checked: tuple[int, int] = (0, 0)

    @classmethod
    def of(
        cls, columns: Sequence[Column], events: int, read: Reader, scores: Float64Array
    ) -> Reference | None:
        """The reference of a training; None where there are too few events (128 of each).

        Args:
            columns: Encodings of the columns, in the order of the features.
            events: Events of the stream that the team knows.
            read: Gives their scaled features, from one event to before another.
            scores: The team's threat scores on a part of them.  # (scored,) float64
        """
        length, starts = _places(events)
        if not starts:
            return None
        sample = np.concatenate([read(at, at + length) for at in starts])
        edges, at = [], 0
        for column in columns:
            width = len(column.outputs)
            values = sample[:, at]
            edges.append(quantile_edges(values) if width == 1 else np.zeros(0, np.float32))
            at += width
        widths = tuple(len(column.outputs) for column in columns)
        binning = Binning(tuple(column.name for column in columns), widths, tuple(edges))
        shown = scores[:, None]
        first = Blocks.of(binning, events, read)
        second = Blocks.of(
            numeric((SCORE,), shown), len(scores), lambda start, stop: shown[start:stop]
        )
        return None if first is None or second is None else cls(first, second)

    def write(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            OutputError: If it cannot be written.
        """
        arrays: dict[str, AnyArray] = {}
        facts: dict[str, object] = {"version": _VERSION, "checked": self.checked}
        for name, blocks in (("columns", self.columns), ("scores", self.scores)):
            binning = blocks.binning
            facts[name] = {
                "names": binning.names,
                "widths": binning.widths,
                "edges": [len(edges) for edges in binning.edges],
                "length": blocks.length,
            }
            arrays[f"{name}.edges"] = np.concatenate(binning.edges)
            arrays[f"{name}.counts"] = blocks.counts.astype(np.uint16)
        text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        with atomic_path(path) as draft, draft.open("wb") as handle:
            np.savez_compressed(handle, allow_pickle=False, facts=text, **arrays)

    @classmethod
    def read(cls, path: Path) -> Reference | None:
        """The reference in a file; None where there is no file.

        Raises:
            RunError: If the file is damaged.
        """
        try:
            with path.open("rb") as handle, np.load(handle, allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
            return cls._of_arrays(arrays)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(
                f"{path} does not describe the traffic of a run ({error}); remove it and evaluate "
                "the run with --split validation, which writes it anew"
            ) from None

    @classmethod
    def _of_arrays(cls, arrays: dict[str, AnyArray]) -> Reference:
        facts = json.loads(arrays["facts"].tobytes())
        if facts["version"] != _VERSION:
            raise ValueError(f"version {facts['version']!r}")
        columns, scores = (_blocks(facts[name], name, arrays) for name in ("columns", "scores"))
        windows, alarms = map(int, facts["checked"])
        return cls(columns, scores, (windows, alarms))


def _blocks(facts: dict[str, list[int]], name: str, arrays: dict[str, AnyArray]) -> Blocks:
    """Blocks as they were written.

    Raises:
        ValueError: If the parts do not fit together.
    """
    ends = np.cumsum(facts["edges"])[:-1]
    edges = tuple(np.split(arrays[f"{name}.edges"].astype(np.float32), ends))
    binning = Binning(tuple(map(str, facts["names"])), tuple(map(int, facts["widths"])), edges)
    counts = arrays[f"{name}.counts"].astype(np.int64)
    if counts.ndim != 2 or counts.shape[1] != sum(binning.sizes) or not len(counts):
        raise ValueError(f"the counts of {name} do not fit its bins")
    return Blocks(binning, counts, int(np.asarray(facts["length"])))
