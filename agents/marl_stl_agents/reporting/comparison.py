"""Runs side by side: what differs between them, and how good they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.tables import read_progress
from marl_stl_agents.run_directory import DATA, evaluation_file, find_run, read_config, read_json
from marl_stl_env.config import Split
from marl_stl_env.errors import ComparisonError
from marl_stl_env.stl.specs import CONJUNCTION

_ADAPTER = TypeAdapter(TrainConfig)
#: Settings that change nothing about what is compared.
_ASIDE = ("run_dir", "progress", "preflight", "threads", "env.data_dir", "env.download")
#: Settings that decide which events a split holds.
_SPLITTING = ("split_method", "split_seed", "drop_duplicates", "threat_rate", "holdout_families")
#: Titles of the compared figures; where a number is, more is better, but for the seconds.
FIGURES = (
    "F1",
    "precision",
    "recall",
    "reward per event",
    "of the oracle",
    "of the supervised ceiling",
    "of the supervised vote",
    "reward with the worst faults",
    "all specifications satisfied",
    "training seconds",
)


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A run and its rollout.

    Attributes:
        name: Its directory's name, or the whole path where two have the same.
        run: The run directory.
        config: The run.
        result: The rollout, as it was written.
        data: What ``data.json`` says of the source and the evaluated split.
    """

    name: str
    run: Path
    config: TrainConfig
    result: dict[str, Any]
    data: dict[str, Any]

    @property
    def figures(self) -> dict[str, float | None]:
        """The figures of :data:`FIGURES`; None where there is none."""
        result = self.result
        decision, worst, kept = result["decision"], None, None
        if result["byzantine"]:
            worst = min(float(entry["reward_per_event"]) for entry in result["byzantine"])
        if result["stl"]:
            kept = float(result["stl"][CONJUNCTION]["satisfied"])
        values = (
            *(decision[key] for key in ("f1", "precision", "recall", "reward_per_event")),
            *(result.get(key) for key in ("normalized_score", "ceiling_ratio", "vote_ratio")),
            worst,
            kept,
            training_seconds(self.run),
        )
        return dict(zip(FIGURES, values, strict=True))


def read_runs(paths: Sequence[Path], split: Split) -> list[ComparedRun]:
    """The runs, all evaluated on the same events.

    Args:
        paths: Two run directories or more.
        split: Which of their evaluations.

    Raises:
        RunError: If a run is missing or damaged.
        ComparisonError: If there is just one, one is not evaluated yet, or their data differs.
    """
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise ComparisonError("a comparison takes two different runs or more")
    same = len({path.resolve().name for path in paths}) < len(paths)
    runs = [
        _read(find_run(path), str(path) if same else path.resolve().name, split) for path in paths
    ]
    for other in runs[1:]:
        _check_same_data(runs[0], other, split)
    return runs


def differences(runs: Sequence[ComparedRun]) -> dict[str, list[str]]:
    """The settings in which the runs differ: name to one value per run."""
    flat = [_flat(_ADAPTER.dump_python(run.config, mode="json")) for run in runs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    rows = {name: [str(settings.get(name, "")) for settings in flat] for name in names}
    return {
        name: values for name, values in rows.items() if len(set(values)) > 1 and name not in _ASIDE
    }


def warnings(runs: Sequence[ComparedRun]) -> list[str]:
    """What must not be compared although the data is the same."""
    found = []
    for name, words in (("reward", "rewards"), ("dynamics", "dynamics")):
        if len({str(getattr(run.config.env, name)) for run in runs}) > 1:
            found.append(
                f"the runs differ in their {words}: their rewards per event, and all that is "
                "made of them, do not measure the same"
            )
    return found


def training_seconds(run: Path) -> float | None:
    """How long the training took, its interrupted parts together; None where no log says so."""
    if not (run / "progress.csv").is_file():
        return None
    progress = read_progress(run)
    if "time/time_elapsed" not in progress:
        return None
    elapsed = progress["time/time_elapsed"].dropna()
    part = (elapsed.diff() < 0).cumsum()
    return float(elapsed.groupby(part).max().sum()) if len(elapsed) else None


def _read(run: Path, name: str, split: Split) -> ComparedRun:
    path = evaluation_file(run, split)
    if not path.is_file():
        flag = "" if split == "test" else f" --split {split}"
        raise ComparisonError(
            f"{run} has no {path.name}; make it with: python evaluate.py {run}{flag}"
        )
    config, facts = read_config(run), read_json(run / DATA)
    data = {"source": facts["source"], f"{split} split": facts["splits"][split]}
    options = [text for text in config.env.data.dataset_options if not text.startswith("path=")]
    data |= {"dataset": config.env.data.dataset, "dataset_options": options}
    chosen = _SPLITTING[:-1] if split == "test" else _SPLITTING  # held out of training alone
    data |= {key: getattr(config.env.data, key) for key in chosen}
    return ComparedRun(name, run, config, read_json(path), data)


def _check_same_data(one: ComparedRun, other: ComparedRun, split: Split) -> None:
    differing = [key for key in one.data if one.data[key] != other.data[key]]
    if differing:
        told = "; ".join(f"{key}: {one.data[key]} and {other.data[key]}" for key in differing)
        raise ComparisonError(
            f"{one.run} and {other.run} were evaluated on different {split} data ({told}); figures "
            "of different events cannot be compared: give runs on the same data and splits"
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return flat
