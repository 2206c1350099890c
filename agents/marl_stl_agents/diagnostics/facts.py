"""What is known of data without fitting anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_stl_agents.evaluation.ranking import roc_auc
from marl_stl_env.data.ingest.store import release
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.registry import dataset_info, datasets
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import BoolArray, Float64Array, IntArray

#: A column whose own AUC is above this is suspected of holding the label.
LEAK = 0.999
_LEAK_ROWS = 100_000


@dataclass(frozen=True)
class SplitFacts:
    """Size, threats and attack families of one split."""

    rows: int
    threats: int
    families: dict[str, int]


@dataclass(frozen=True)
class DataFacts:
    """What each split holds, and what was left out.

    Attributes:
        dataset: Name of the data set.
        splits: What each split holds.
        notes: Which labels are benign, what was left out, and what the split did, in lines.
        dropped: Column to the reason why it is not used.
        suspects: Column to its own AUC, where that is suspicious.
    """

    dataset: str
    splits: dict[str, SplitFacts]
    notes: tuple[str, ...]
    dropped: dict[str, str]
    suspects: dict[str, float]

    @classmethod
    def of(cls, prepared: PreparedData) -> DataFacts:
        """The facts of prepared data."""
        return cls(
            dataset=prepared.raw.name,
            splits={name: _facts(table) for name, table in prepared.tables.items()},
            notes=(*prepared.raw.label_notes(), *prepared.report.notes()),
            dropped=_dropped(prepared),
            suspects=leak_suspects(prepared.raw, prepared.rows["train"]),
        )


def _facts(table: TrafficTable) -> SplitFacts:
    counts = np.bincount(table.families[table.labels], minlength=len(table.family_names))
    families = {table.family_names[code]: int(counts[code]) for code in np.argsort(-counts)}
    return SplitFacts(
        len(table), int(table.labels.sum()), {name: n for name, n in families.items() if n}
    )


def _dropped(prepared: PreparedData) -> dict[str, str]:
    """Columns that the loader or the scaling left out, and why."""
    name = prepared.raw.name
    of_loader = dict(text.split(": ", 1) for text in _loader_drops(name))
    return of_loader | dict(prepared.preprocessor.dropped)


def _loader_drops(name: str) -> list[str]:
    if name not in datasets():  # a table of the caller's own
        return []
    return [text for text in dataset_info(name).dropped if ": " in text]


def leak_suspects(table: TrafficTable, rows: IntArray) -> dict[str, float]:
    """Columns that separate the labels by themselves, with their AUC.

    Categories are ranked by their threat rate on every second row and evaluated on the others, so
    that an identifier with one row per category is not mistaken for a leak.

    Args:
        table: A raw table.
        rows: The training rows; at most 100,000 of them are looked at.  # (k,) int64
    """
    rows = rows[:: max(1, -(-len(rows) // _LEAK_ROWS))]
    labels = np.asarray(table.labels[rows])
    suspects = {}
    for column, name in enumerate(table.feature_names):
        values = np.asarray(table.features[:, column][rows], np.float64)
        release(table.features)
        auc = _category_auc(values, labels) if name in table.categories else _auc(values, labels)
        if auc > LEAK:
            suspects[name] = auc
    return suspects


def _auc(values: Float64Array, labels: BoolArray) -> float:
    """Area under the ROC curve of a number, whichever direction is the better one."""
    if not 0 < labels.sum() < len(labels):
        return 0.5
    auc = roc_auc(labels, np.nan_to_num(values))
    return max(auc, 1 - auc)


def _category_auc(codes: Float64Array, labels: BoolArray) -> float:
    known = codes[::2].astype(np.int64)
    size = int(codes.max()) + 1
    threats = np.bincount(known, labels[::2].astype(np.float64), size)
    rate = (threats + labels.mean()) / (np.bincount(known, minlength=size) + 1)
    return _auc(rate[codes[1::2].astype(np.int64)], labels[1::2])
