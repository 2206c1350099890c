"""A forest of decision trees as plain arrays: saved without pickles, evaluated with NumPy."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marl_stl_env.errors import TableError
from marl_stl_env.types import AnyArray, Float32Array, Float64Array

#: Events that walk down the trees together, so that their features stay in a core's cache.
_BLOCK = 512
_ARRAYS = {"feature": "<u2", "threshold": "<f4", "left": "<i4", "value": "<f4", "roots": "<i4"}


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees that all stand in the same arrays, level by level.

    An event at node ``i`` goes on to ``left[i]`` if its feature is at most the threshold, else to
    ``left[i] + 1``. A leaf leads to itself. Its value is the share of threats.

    Attributes:
        name: Name of the column that it writes.
        feature: Feature that a node looks at.  # (nodes,) int32
        threshold: Largest value that goes left; infinity at a leaf.  # (nodes,) float32
        left: The left one of the two next nodes, or the leaf itself.  # (nodes,) int32
        value: Share of threats at a leaf.  # (nodes,) float32
        roots: First node of each tree.  # (trees,) int32
        levels: Steps from a root to the deepest leaf.
    """

    name: str
    feature: AnyArray
    threshold: Float32Array
    left: AnyArray
    value: Float32Array
    roots: AnyArray
    levels: int

    def probabilities(self, features: Float32Array) -> Float64Array:
        """The mean share of threats over the trees, for every event.

        Args:
            features: Scaled features.  # (rows, features) float32

        Returns:
            P(threat).  # (rows,) float64
        """
        found = np.empty(len(features))
        for start in range(0, len(features), _BLOCK):
            block = np.ascontiguousarray(features[start : start + _BLOCK])
            found[start : start + _BLOCK] = self._block(block)
        return found

    def _block(self, features: Float32Array) -> Float64Array:
        rows, width = features.shape
        flat, first = features.ravel(), (np.arange(rows, dtype=np.int32) * width)[:, None]
        nodes = np.repeat(self.roots[None, :], rows, axis=0)
        for _ in range(self.levels):
            seen = flat.take(self.feature.take(nodes) + first)
            nodes = self.left.take(nodes) + (seen > self.threshold.take(nodes))
        mean: Float64Array = self.value.take(nodes).mean(axis=1, dtype=np.float64)
        return mean

    def to_dict(self) -> dict[str, Any]:
        """The forest in JSON types, arrays as base64; :meth:`from_dict` is the inverse."""
        arrays = {name: getattr(self, name).astype(kind) for name, kind in _ARRAYS.items()}
        texts = {n: base64.b64encode(array.tobytes()).decode() for n, array in arrays.items()}
        return {"name": self.name, **texts}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], features: int) -> Forest:
        """The forest with this representation.

        Args:
            data: What :meth:`to_dict` gave.
            features: Features of an event.

        Raises:
            TableError: If it represents no forest over so many features.
        """
        try:
            arrays = {
                name: np.frombuffer(base64.b64decode(data[name], validate=True), kind)
                for name, kind in _ARRAYS.items()
            }
            name = data["name"]
        except (KeyError, TypeError, ValueError) as error:
            raise TableError(f"this does not describe a forest: {error!r}") from error
        if not isinstance(name, str):
            raise TableError(f"the name of a forest is a text, not {name!r}")
        return cls.checked(name, arrays, features)

    @classmethod
    def checked(cls, name: str, arrays: Mapping[str, AnyArray], features: int) -> Forest:
        """The forest of these arrays, if every walk stays inside them and ends.

        Raises:
            TableError: If one does not.
        """
        feature, left, roots = (
            arrays[one].astype(np.int32) for one in ("feature", "left", "roots")
        )
        threshold, value = (arrays[one].astype(np.float32) for one in ("threshold", "value"))
        nodes = np.arange(len(left))
        inner = left != nodes
        sound = (
            len(nodes) == len(feature) == len(threshold) == len(value) > 0
            and len(roots) > 0
            and bool(((roots >= 0) & (roots < len(nodes))).all())
            and bool(((feature >= 0) & (feature < features)).all())
            and bool((left[inner] > nodes[inner]).all() and (left[inner] + 1 < len(nodes)).all())
            and bool((np.isposinf(threshold) == ~inner).all() and not np.isnan(threshold).any())
            and bool(((value >= 0) & (value <= 1)).all())
        )
        if not sound:
            raise TableError(f"the arrays of forest {name!r} contradict one another")
        for array in (feature, threshold, left, value, roots):
            array.setflags(write=False)
        return cls(name, feature, threshold, left, value, roots, _levels(left, roots))


def _levels(left: AnyArray, roots: AnyArray) -> int:
    """Steps until every walk has ended; it does, as each step leads to a larger number."""
    count, reached = 0, np.unique(roots)
    while len(inner := reached[left[reached] != reached]):
        reached = np.unique([left[inner], left[inner] + 1])
        count += 1
    return count


def forest_of(name: str, trees: Sequence[Any], features: int) -> Forest:
    """The forest of fitted scikit-learn trees.

    Scikit-learn compares float32 with float64 thresholds. They are rounded down to float32 here,
    which sends every float32 the same way.

    Args:
        name: Name of the column that it writes.
        trees: ``estimators_`` of a forest of two classes.
        features: Features of an event.
    """
    parts: dict[str, list[AnyArray]] = {name: [] for name in _ARRAYS}
    start = 0
    for tree in (one.tree_ for one in trees):
        order, place = _by_level(tree.children_left, tree.children_right)
        inner = tree.children_left[order] >= 0
        threshold = tree.threshold[order].astype(np.float32)
        above = threshold > tree.threshold[order]
        threshold[above] = np.nextafter(threshold[above], np.float32(-np.inf))
        shares = tree.value[order, 0, :] / tree.value[order, 0, :].sum(axis=1, keepdims=True)
        parts["feature"].append(np.where(inner, tree.feature[order], 0))
        parts["threshold"].append(np.where(inner, threshold, np.float32(np.inf)))
        children = place[tree.children_left[order]]
        parts["left"].append(start + np.where(inner, children, np.arange(len(order))))
        parts["value"].append(shares[:, -1] if shares.shape[1] > 1 else np.zeros(len(order)))
        parts["roots"].append(np.array([start]))
        start += len(order)
    return Forest.checked(name, {n: np.concatenate(part) for n, part in parts.items()}, features)


def _by_level(left: AnyArray, right: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Nodes in an order with siblings side by side, and the place of each node in it."""
    order, level = list[AnyArray](), np.array([0])
    while len(level):
        order.append(level)
        inner = level[left[level] >= 0]
        level = np.stack([left[inner], right[inner]], axis=1).ravel()
    found = np.concatenate(order)
    place = np.empty(len(found), np.int64)
    place[found] = np.arange(len(found))
    return found, place
