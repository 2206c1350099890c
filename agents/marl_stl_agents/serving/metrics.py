"""The counts of a server in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

from marl_stl_agents.serving.status import COUNTERS, Status, covered
from marl_stl_env.types import Action

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "marl_stl_"
_Samples = Iterable[tuple[Mapping[str, str], float]]


def metrics_page(status: Status) -> str:
    """All metrics of a server."""
    parts = [
        _metric(f"{name}_total", "counter", text, [({}, status.counts[name])])
        for name, text in COUNTERS.items()
    ]
    decided = [({"decision": a.name}, status.decisions[a.name]) for a in Action]
    verdicts = [({"result": name}, count) for name, count in sorted(dict(status.verdicts).items())]
    listed = [({"action": name}, count) for name, count in status.contained.items()]
    left = [({"specification": name}, value) for name, value in status.specifications.items()]
    parts += [
        _metric("decisions_total", "counter", "Decisions.", decided),
        _metric("verdicts_total", "counter", "Verdicts by what became of them.", verdicts),
        _metric("contained_entities", "gauge", "Entities listed as contained.", listed),
        _metric("specification_robustness", "gauge", "The least robustness so far.", left),
        _metric("input_bytes_behind", "gauge", "Bytes of the input that wait.",
                [({}, status.behind)]),
        _metric("disk_full", "gauge", "Whether nothing can be written.",
                [({}, float(bool(status.full)))]),
        _metric("snapshot_age_seconds", "gauge", "Seconds since the last snapshot.",
                [({}, time.time() - status.snapshot_at)]),
        _metric("healthy", "gauge", "Whether the health page says ok.",
                [({}, float(not status.problems))]),
    ]  # fmt: skip
    return "".join([*parts, *_drift(status)])


def _drift(status: Status) -> list[str]:
    found = status.drift
    if found is None:
        return []
    return [
        _metric("drift_windows_total", "counter", "Windows compared with the training.",
                [({}, found["windows"])]),
        _metric("drift_alarms_total", "counter", "Windows in which a column had moved.",
                [({}, found["alarms"])]),
        _metric("column_moved", "gauge", "Columns that moved in the latest windows.",
                [({"column": name}, 1.0) for name in found["moved"]]),
        _metric("certificates_cover_traffic", "gauge", "0 where the traffic has drifted.",
                [({}, float(bool(covered(status))))]),
    ]  # fmt: skip


def _metric(name: str, kind: str, text: str, samples: _Samples) -> str:
    lines = [f"# HELP {_PREFIX}{name} {text}", f"# TYPE {_PREFIX}{name} {kind}"]
    lines += [f"{_PREFIX}{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
