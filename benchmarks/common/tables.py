"""Tables of ``docs/results/``, mostly from the runs of the learning study."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.files import write_text
from marl_stl_env.types import AnyArray

#: Metrics of one run, in the order of the tables.
QUALITY = ("f1", "precision", "recall", "recall_seen", "recall_unseen", "reward_per_event")
RELATIVE = ("normalized_score", "ceiling_ratio", "vote_ratio", "seconds_to_95", "cpu_seconds")
_HEADINGS = {
    "f1": "F1",
    "recall_seen": "recall, seen types",
    "recall_unseen": "recall, unseen types",
    "reward_per_event": "reward per event",
    "normalized_score": "of the oracle",
    "ceiling_ratio": "of supervised",
    "vote_ratio": "of its vote",
    "seconds_to_95": "CPU s to 95 %",
    "cpu_seconds": "CPU s in all",
}
_RESAMPLES = 2_000

Run = dict[str, Any]


def interquartile_mean(values: AnyArray, axis: int = -1) -> AnyArray:
    """Mean of the middle half (Agarwal et al. 2021, "Deep RL at the edge of the precipice")."""
    from scipy.stats import trim_mean

    mean: AnyArray = trim_mean(values, 0.25, axis=axis)
    return mean


def interval(*strata: Sequence[float]) -> tuple[float, float, float]:
    """Interquartile mean of all values with its 95 % interval.

    The bootstrap is stratified: each resample has as many runs of a setting as the data.

    Args:
        strata: The values of each setting, one per seed.

    Returns:
        The mean, and the 2.5 and 97.5 percentiles of the bootstrap.
    """
    from scipy.stats import bootstrap

    def statistic(*samples: AnyArray, axis: int = -1) -> AnyArray:
        return interquartile_mean(np.concatenate(samples, axis=axis), axis)

    data = [np.asarray(values, dtype=np.float64) for values in strata]
    mean = float(statistic(*data))
    if max(map(len, data)) < 2 or all(np.ptp(values) == 0.0 for values in data):
        return mean, mean, mean
    found = bootstrap(
        data, statistic, n_resamples=_RESAMPLES, method="percentile", random_state=0
    ).confidence_interval
    return mean, float(found.low), float(found.high)


def in_words(values: tuple[float, float, float], digits: int) -> str:
    """A mean with its interval in brackets, as text."""
    mean, low, high = (f"{value:.{digits}f}" for value in values)
    return mean if low == high else f"{mean} [{low}, {high}]"


def quality_table(settings: Mapping[str, list[Run]]) -> list[str]:
    """Metrics of each setting, in Markdown."""
    return _table(settings, QUALITY, lambda _: 3)


def ratio_table(settings: Mapping[str, list[Run]]) -> list[str]:
    """F1, reward, and the reward relative to the supervised references, in Markdown."""
    names = ("f1", "reward_per_event", "ceiling_ratio", "vote_ratio")
    return _table(settings, names, lambda _: 3)


def relative_table(settings: Mapping[str, list[Run]]) -> list[str]:
    """Each setting relative to its references, and its training time, in Markdown."""
    rows = _table(settings, RELATIVE, lambda name: 0 if "seconds" in name else 3)
    scores = [[run["normalized_score"] for run in runs] for runs in settings.values()]
    overall = in_words(interval(*scores), 3)
    return [*rows, f"| all settings | {overall} |" + " |" * (len(RELATIVE) - 1)]


def reference_table(settings: Mapping[str, list[Run]]) -> list[str]:
    """The references of each setting: F1 and reward per event, in Markdown."""
    names = ("always_allow", "always_block", "supervised", "supervised_vote", "bayes", "oracle")
    lines = _head(["setting", *(name.replace("_", " ") for name in names)])
    for setting, runs in settings.items():
        known = runs[0]["baselines"]
        cells = [
            f"{known[name]['f1']:.3f}, {known[name]['reward_per_event']:.3f}"
            if name in known
            else ""
            for name in names
        ]
        lines.append(_row([setting, *cells]))
    return lines


def family_table(runs: list[Run], few: int) -> list[str]:
    """Recall of the attack families that training lacks, with at least ``few`` events."""
    lines = _head(["family", "events", "recall"])
    for family, known in runs[0]["families"].items():
        if known["events"] >= few and not known["seen_in_train"]:
            recall = interval([run["families"][family]["recall"] for run in runs])
            lines.append(_row([family, f"{known['events']:,}", in_words(recall, 3)]))
    return lines


def _table(
    settings: Mapping[str, list[Run]], names: Sequence[str], digits: Callable[[str], int]
) -> list[str]:
    lines = _head(["setting", "seeds", *(_HEADINGS.get(name, name) for name in names)])
    for setting, runs in settings.items():
        cells = [
            in_words(interval([run[name] for run in runs]), digits(name))
            if all(run.get(name) is not None for run in runs)
            else ""
            for name in names
        ]
        lines.append(_row([setting, str(len(runs)), *cells]))
    return lines


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown, line by line."""
    return [*_head(columns), *map(_row, rows)]


def _head(columns: Sequence[str]) -> list[str]:
    return [_row(columns), "|" + "---|" * len(columns)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def replace_section(path: Path, name: str, lines: Sequence[str]) -> None:
    """Replace the lines between the marks ``<!-- NAME -->`` and ``<!-- end of NAME -->`` of a file.

    Raises:
        ValueError: If the file lacks one of the marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = path.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{path} has no section from {begin} to {end}")
    before, rest = text.split(begin, 1)
    after = rest.split(end, 1)[1]
    write_text(path, "\n".join([f"{before}{begin}", "", *lines, "", f"{end}{after}"]))
