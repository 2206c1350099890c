"""The embedded data set: traffic of a small company, generated from a stated model.

About 250 hosts with Zipf-distributed activity do benign things around the clock, most of them by
day. Kill chains (recon, exploit, command and control, exfiltration) run one stage after the other
on one host; password guessing and floods come in bursts on one host. Times and hosts depend on
the kind of an event only, and so do the features (see ``model``): given the kind, a
feature says nothing about the host or the hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from marl_stl_env.data.datasets.synthetic.features import FEATURES, VIEWS
from marl_stl_env.data.datasets.synthetic.kinds import KINDS, VERSION
from marl_stl_env.data.datasets.synthetic.model import kind_counts, posterior, sample
from marl_stl_env.data.info import Dataset
from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.build import Format, Target
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import LabelError
from marl_stl_env.types import AnyArray, Float64Array, IntArray
from marl_stl_env.validation import check_memory, check_range

DATASET = Dataset(
    name="synthetic",
    summary="200,000 generated events of 250 hosts, 10.9 % threats, exact posterior known",
    licence="MIT, generated here",
    citation="this project",
    defects=("generated: easier and more regular than real traffic",),
)
DAY = 86_400.0
_SECONDS_PER_EVENT = 4.32  # 20,000 events a day
_BYTES_PER_EVENT = 250.0  # while the table is made
_ROLES = {"workstation": 200, "server": 35, "infrastructure": 15}
HOSTS = sum(_ROLES.values())

#: Role of the hosts on which a kind of event is seen, with relative weights (workstation,
#: server, infrastructure).
_ROLE_WEIGHTS = {
    "web": (10, 1, 0.2),
    "dns": (6, 3, 3),
    "mail": (8, 3, 0.2),
    "admin_session": (0.5, 3, 6),
    "file_share": (6, 4, 0.2),
    "backup": (0.5, 6, 2),
    "monitoring_scan": (0.1, 0.3, 10),
    "update_beacon": (8, 3, 2),
    "software_rollout": (2, 2, 6),
    "mistyped_password": (8, 2, 1),
}
#: Peak hour and strength (0 flat, 1 silent at the other end of the day) of the daily rhythm.
_RHYTHM = {
    "web": (13, 0.9),
    "dns": (13, 0.7),
    "mail": (11, 0.9),
    "admin_session": (15, 0.8),
    "file_share": (14, 0.9),
    "backup": (2, 0.95),
    "software_rollout": (4, 0.8),
    "mistyped_password": (9, 0.9),
}
_CHAIN = ("recon", "exploit", "command_and_control", "exfiltration")
_CHAIN_EVENTS = 120  # events of a kill chain, on average
_STAGES = (0.0, 0.35, 0.5, 0.8, 1.0)  # where the stages begin and end, as shares of a chain
_CHAIN_LENGTH = 0.7  # of the time between the beginnings of two chains
#: Events of one burst, and its length as a share of the time between two bursts.
_BURSTS = {"brute_force": (40, 0.15), "flood": (80, 0.1), "flash_crowd": (80, 0.15)}


def files(data_dir: Path | str | None = None) -> tuple[Path, ...]:  # noqa: ARG001
    """No file: the table is generated."""
    return ()


def load(
    paths: Sequence[Path] = (),  # noqa: ARG001 - every loader takes them
    folder: Path | None = None,  # noqa: ARG001
    rows: int = 200_000,
    seed: int = 0,
) -> TrafficTable:
    """Generate the table.

    Args:
        paths: Ignored: there is no file.
        folder: Ignored: the table stays in memory.
        rows: Events, at least 100.
        seed: The same seed gives the same table.

    Returns:
        A raw table in time order, with hosts, times and the exact posterior.

    Raises:
        ConfigError: If ``rows`` or ``seed`` are out of range.
    """
    check_range("rows", rows, 100, 10**9)
    check_memory({f"rows={rows}": rows * _BYTES_PER_EVENT})
    check_range("seed", seed, 0, 2**63 - 1)
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(len(KINDS)), kind_counts(rows))
    times, hosts = _timeline(rng, kinds, max(rows * _SECONDS_PER_EVENT, DAY))
    order = np.argsort(times, kind="stable")
    kinds, times, hosts = kinds[order], times[order], hosts[order]
    features = sample(rng, kinds)
    return TrafficTable(
        name="synthetic",
        features=features,
        labels=np.array([kind.threat for kind in KINDS])[kinds],
        families=kinds.astype(np.int16),
        family_names=tuple(kind.name for kind in KINDS),
        feature_names=tuple(feature.name for feature in FEATURES),
        views={
            view: tuple(c for c, feature in enumerate(FEATURES) if feature.view == view)
            for view in VIEWS
        },
        categories={
            feature.name: feature.law.categories for feature in FEATURES if feature.law.categories
        },
        entities=hosts.astype(np.int32),
        times=times,
        posterior=posterior(features),
        source={"synthetic": f"version {VERSION}, rows {rows}, seed {seed}"},
    )


def written() -> Format:
    """How files with such events are written.

    The features by name, ``kind`` for the label, ``entity`` for the host and ``time`` for seconds.
    """
    threats = {kind.name: kind.threat for kind in KINDS}
    kinds = Coder(_known_kind, limit=len(KINDS), kind=LabelError)

    def target(batch: Batch) -> Target:
        codes = kinds.codes(batch, "kind")
        return codes, np.array([threats[name] for name in kinds.names])[codes]

    return Format(kinds, labels=("kind",), target=target, entity="entity", clock="time")


def _known_kind(text: str) -> str:
    known = [kind.name for kind in KINDS]
    if text.strip() not in known:
        raise ValueError(
            f"{text[:30]!r} is no kind of synthetic event; they are {', '.join(known)}"
        )
    return text.strip()


def _timeline(
    rng: np.random.Generator, kinds: AnyArray, span: float
) -> tuple[Float64Array, IntArray]:
    """Time in [0, span) and host of every event; ``kinds`` is sorted."""
    times, hosts = np.empty(len(kinds)), np.empty(len(kinds), np.int64)
    names = [kind.name for kind in KINDS]
    chains = max(1, round(sum((kinds == names.index(k)).sum() for k in _CHAIN) / _CHAIN_EVENTS))
    chain_starts, chain_hosts = _campaigns(rng, chains, span)
    for code, name in enumerate(names):
        rows = np.flatnonzero(kinds == code)
        if name in _CHAIN:
            stage, length = _CHAIN.index(name), _CHAIN_LENGTH * span / chains
            campaign = np.arange(len(rows)) * chains // max(len(rows), 1)
            low, high = _STAGES[stage] * length, _STAGES[stage + 1] * length
            times[rows] = chain_starts[campaign] + rng.uniform(low, high, len(rows))
            hosts[rows] = chain_hosts[campaign]
        elif name in _BURSTS:
            times[rows], hosts[rows] = _bursts(rng, len(rows), span, *_BURSTS[name])
        else:
            times[rows] = _daily(rng, len(rows), span, *_RHYTHM.get(name, (0, 0.0)))
            hosts[rows] = rng.choice(HOSTS, len(rows), p=_activity(_ROLE_WEIGHTS[name]))
    return times, hosts


def _campaigns(rng: np.random.Generator, count: int, span: float) -> tuple[Float64Array, IntArray]:
    """Start and host of each campaign: evenly spread over the span, with jitter."""
    slack = 1 - _CHAIN_LENGTH
    starts = (np.arange(count) + rng.uniform(0, slack, count)) * span / count
    return starts, rng.integers(0, HOSTS, count)


def _bursts(
    rng: np.random.Generator, events: int, span: float, size: int, share: float
) -> tuple[Float64Array, IntArray]:
    """Times and hosts of events that come in bursts on one host each."""
    count = max(1, round(events / size))
    starts = (np.arange(count) + rng.uniform(0, 1 - share, count)) * span / count
    burst = np.arange(events) * count // max(events, 1)
    times = starts[burst] + rng.uniform(0, share * span / count, events)
    return times, rng.integers(0, HOSTS, count)[burst]


def _daily(
    rng: np.random.Generator, events: int, span: float, peak: float, strength: float
) -> Float64Array:
    """Times with intensity ``1 + strength * cos(2 pi (hour - peak) / 24)``."""
    grid = np.linspace(0.0, span, max(2, int(span / 300)))
    phase = 2 * np.pi * (grid / DAY - peak / 24)
    # The integral of the intensity over time, in closed form.
    area = grid + strength * DAY / (2 * np.pi) * np.sin(phase)
    area = (area - area[0]) / (area[-1] - area[0])
    return np.asarray(np.interp(rng.random(events), area, grid))


def _activity(role_weights: tuple[float, ...]) -> Float64Array:
    """Probability of each host: Zipf (1 / rank) within its role, times the role's weight."""
    parts = []
    for hosts, weight in zip(_ROLES.values(), role_weights, strict=True):
        zipf = 1.0 / np.arange(1, hosts + 1)
        parts.append(weight * zipf / zipf.sum())
    weights = np.concatenate(parts)
    return np.asarray(weights / weights.sum())
