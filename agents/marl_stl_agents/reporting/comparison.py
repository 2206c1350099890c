"""Comparison of runs: the settings in which they differ, and their metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.tables import read_progress
from marl_stl_agents.evaluation.result import EvaluationResult, read_result
from marl_stl_agents.evaluation.seeds.statistics import SCORES
from marl_stl_agents.printable import command_line
from marl_stl_agents.run_directory import DATA, evaluation_file, find_run, read_config, read_json
from marl_stl_env.config import Split
from marl_stl_env.errors import ComparisonError, RunError

_ADAPTER = TypeAdapter(TrainConfig)
#: Settings without influence on the results.
_IGNORED = ("run_dir", "progress", "preflight", "threads", "env.data_dir", "env.download")
#: Settings that decide which events a split holds.
_SPLITTING = ("split_method", "split_seed", "drop_duplicates", "threat_rate", "holdout_families")
_SECONDS = "training seconds"
#: Titles of the compared metrics.
METRICS = (*(score.title for score in SCORES.values()), _SECONDS)
#: Metrics of which less is better.
COSTS = (*(score.title for score in SCORES.values() if not score.larger_is_better), _SECONDS)


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A run and its evaluation.

    Attributes:
        name: Name of the run directory, or its whole path if two runs share the name.
        run: The run directory.
        config: The run.
        result: Its evaluation.
        data: The source and the evaluated split, from ``data.json``.
    """

    name: str
    run: Path
    config: TrainConfig
    result: EvaluationResult
    data: dict[str, Any]

    def __repr__(self) -> str:
        """The run and its result, in one line."""
        return f"ComparedRun({self.name!r}, {self.result!r})"

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics of :data:`METRICS`; None where the run has no such metric."""
        found = {score.title: score.of(self.result) for score in SCORES.values()}
        return found | {_SECONDS: training_seconds(self.run)}


def read_runs(paths: Sequence[Path], split: Split) -> list[ComparedRun]:
    """Read runs that were evaluated on the same events.

    Args:
        paths: At least two run directories.
        split: The evaluated split.

    Raises:
        RunError: If a run is missing or damaged.
        ComparisonError: If there are fewer than two runs, one is not evaluated yet, or their data
            differs.
    """
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise ComparisonError("a comparison takes at least two different runs")
    same = len({path.resolve().name for path in paths}) < len(paths)
    runs = [
        _read(find_run(path), str(path) if same else path.resolve().name, split) for path in paths
    ]
    for other in runs[1:]:
        _check_same_data(runs[0], other, split)
    return runs


def differences(runs: Sequence[ComparedRun]) -> dict[str, list[str]]:
    """Settings in which the runs differ: dotted name to one value per run."""
    flat = [_flat(_ADAPTER.dump_python(run.config, mode="json")) for run in runs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    rows = {name: [str(settings.get(name, "")) for settings in flat] for name in names}
    return {
        name: values
        for name, values in rows.items()
        if len(set(values)) > 1 and name not in _IGNORED
    }


def warnings(runs: Sequence[ComparedRun]) -> list[str]:
    """Reasons why the rewards are not comparable although the data is the same."""
    found = []
    for name, words in (("reward", "rewards"), ("dynamics", "dynamics")):
        if len({str(getattr(run.config.env, name)) for run in runs}) > 1:
            found.append(
                f"the runs differ in their {words}, so their rewards per event, and the scores "
                "computed from them, cannot be compared"
            )
    return found


def training_seconds(run: Path) -> float | None:
    """Duration of the training, summed over its interrupted parts; None without a log."""
    if not (run / "progress.csv").is_file():
        return None
    progress = read_progress(run)
    if "time/time_elapsed" not in progress:
        return None
    elapsed = progress["time/time_elapsed"].dropna()
    return float(elapsed.max()) if len(elapsed) else None


def _read(run: Path, name: str, split: Split) -> ComparedRun:
    path = evaluation_file(run, split)
    if not path.is_file():
        flags = () if split == "test" else ("--split", split)
        made_by = command_line("evaluate", run, *flags)
        raise ComparisonError(f"{run} has no {path.name}; make it with: {made_by}")
    config, facts = read_config(run), read_json(run / DATA)
    try:
        data = {"source": facts["source"], f"{split} split": facts["splits"][split]}
    except (KeyError, TypeError) as error:
        raise RunError(f"{run / DATA} does not describe the data of a run: {error!r}") from None
    options = [text for text in config.env.data.dataset_options if not text.startswith("path=")]
    data |= {"dataset": config.env.data.dataset, "dataset_options": options}
    # Holding families out of training does not change the test split.
    splitting = _SPLITTING[:-1] if split == "test" else _SPLITTING
    data |= {key: getattr(config.env.data, key) for key in splitting}
    return ComparedRun(name, run, config, read_result(path), data)


def _check_same_data(one: ComparedRun, other: ComparedRun, split: Split) -> None:
    differing = [key for key in one.data if one.data[key] != other.data[key]]
    if differing:
        facts = "; ".join(f"{key}: {one.data[key]} and {other.data[key]}" for key in differing)
        raise ComparisonError(
            f"{one.run} and {other.run} were evaluated on different {split} data ({facts}); "
            "metrics of different events cannot be compared: give runs on the same data and splits"
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return flat
