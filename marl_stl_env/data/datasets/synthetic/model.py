"""The synthetic traffic model: drawing events, and the exact posterior of a threat.

Given its kind, the features of an event are independent of each other, of the host and of the
time. Hence, with the priors ``pi``,

    P(threat | x) = sum over threat kinds of pi_k prod_f p_kf(x_f) / the same sum over all kinds,

and leaving features out is leaving factors out. The posterior is that of one event alone: the
events before it, its host and its time say more, and that is what memory can win.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from marl_stl_env.data.datasets.synthetic.features import FEATURES, VIEWS
from marl_stl_env.data.datasets.synthetic.kinds import KINDS
from marl_stl_env.errors import TableError, UnknownNameError
from marl_stl_env.types import AnyArray, Float32Array, Float64Array, IntArray

_THREAT = np.array([kind.threat for kind in KINDS])
_CHUNK = 1 << 15


def kind_counts(rows: int) -> IntArray:
    """Events of each kind among ``rows``: as close to the priors as whole numbers can be.

    Threats are rounded as one number first, so that their share is off by half an event at most.
    """
    priors = np.array([kind.prior for kind in KINDS])
    threats = round(rows * float(priors[_THREAT].sum()))
    counts = np.zeros(len(KINDS), np.int64)
    for side, total in ((_THREAT, threats), (~_THREAT, rows - threats)):
        ideal = total * priors[side] / priors[side].sum()
        whole = np.floor(ideal + 1e-9).astype(np.int64)
        largest = np.argsort(whole - ideal, kind="stable")[: total - whole.sum()]
        whole[largest] += 1
        counts[side] = whole
    return counts


def sample(rng: np.random.Generator, kinds: AnyArray) -> Float32Array:
    """Features of events of the given kinds.

    Args:
        rng: Source of randomness.
        kinds: Indices into ``KINDS``.  # (rows,)

    Returns:
        Raw features in the order of ``FEATURES``.  # (rows, features) float32
    """
    columns = np.empty((len(kinds), len(FEATURES)), np.float32)
    for column, feature in enumerate(FEATURES):
        parameters = np.array([kind.laws[feature.name] for kind in KINDS], np.float64)
        columns[:, column] = feature.law.sample(rng, parameters[kinds])
    return columns


def posterior(features: Float32Array, views: Iterable[str] | None = None) -> Float64Array:
    """The exact P(threat | what these views show), row by row.

    Args:
        features: Raw features in the order of ``FEATURES``.  # (rows, features) float32
        views: Names of the views that are seen; None sees all.

    Returns:
        Probabilities.  # (rows,) float64

    Raises:
        UnknownNameError: If a view does not exist.
        TableError: If the features have another number of columns.
    """
    result = np.empty(len(features))
    for start in range(0, len(features), _CHUNK):
        joint = log_joint(features[start : start + _CHUNK], views)
        result[start : start + _CHUNK] = threat_share(joint)
    return result


def threat_share(joint: Float64Array) -> Float64Array:
    """P(threat), from the logarithm of each kind's weight in every event.

    Args:
        joint: Logarithms up to a constant of the row.  # (rows, kinds) float64

    Returns:
        Probabilities.  # (rows,) float64
    """
    weights = np.exp(joint - joint.max(axis=1, keepdims=True))
    share: Float64Array = weights[:, _THREAT].sum(axis=1) / weights.sum(axis=1)
    return share


def log_joint(features: Float32Array, views: Iterable[str] | None = None) -> Float64Array:
    """The logarithm of P(kind, what these views show), up to a constant of the row.

    Given the kind views are independent: joints of several views add up, if the logarithms of
    the priors are taken off all but one.

    Args:
        features: Raw features in the order of ``FEATURES``.  # (rows, features) float32
        views: Names of the views that are seen; None sees all, none sees the priors.

    Returns:
        Log-probabilities.  # (rows, kinds) float64

    Raises:
        UnknownNameError: If a view does not exist.
        TableError: If the features have another number of columns.
    """
    seen = set(VIEWS if views is None else views)
    for view in seen - set(VIEWS):
        raise UnknownNameError("view", view, VIEWS)
    if features.ndim != 2 or features.shape[1] != len(FEATURES):
        raise TableError(
            f"features must be (rows, {len(FEATURES)}) raw synthetic columns, not {features.shape}"
        )
    columns = [c for c, feature in enumerate(FEATURES) if feature.view in seen]
    weights, offsets = _natural(columns)
    values = features.astype(np.float64)
    parts = [FEATURES[c].law.statistics(values[:, c]) for c in columns]
    joint: Float64Array = np.concatenate([np.empty((len(values), 0)), *parts], axis=1) @ weights
    return joint + offsets


def _natural(columns: list[int]) -> tuple[Float64Array, Float64Array]:
    """Weights (statistics, kinds) and offsets (kinds,), the log-priors among them."""
    weights, offsets = [], []
    for kind in KINDS:
        terms = [FEATURES[c].law.natural(kind.laws[FEATURES[c].name]) for c in columns]
        weights.append([weight for pair in terms for weight in pair[0]])
        offsets.append(np.log(kind.prior) + sum(pair[1] for pair in terms))
    return np.array(weights).T.reshape(-1, len(KINDS)), np.array(offsets)
