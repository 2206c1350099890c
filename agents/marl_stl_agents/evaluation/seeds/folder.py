"""The folder of runs that differ in their seed alone: ``seeds.json``, ``seed_0``, ``seed_1``.

``seeds.json`` has the common settings and the seeds from the beginning on, so that a training that
was interrupted can go on, and the estimates of every split on which all the runs were evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.evaluation.result import read_result
from marl_stl_agents.evaluation.seeds.statistics import Estimate, estimates
from marl_stl_agents.run_directory import (
    SEEDS,
    VALIDATION,
    config_as_json,
    config_from_json,
    evaluation_file,
    read_json,
)
from marl_stl_env.config import Split
from marl_stl_env.errors import RunError
from marl_stl_env.files import write_text

SCHEMA: Final = 1


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class SeedsFile:
    """The content of ``seeds.json``.

    Attributes:
        config: The settings of all runs, as in a run's ``config.json``; each has a seed and a
            folder of its own.
        seeds: The seeds, in the order of the training.
        estimates: Split to metric to its estimate, of the splits on which all were evaluated.
        schema: Version of this layout.
    """

    config: dict[str, Any]
    seeds: tuple[int, ...]
    estimates: dict[Split, dict[str, Estimate]] = field(default_factory=dict)
    schema: Literal[1] = SCHEMA


_ADAPTER = TypeAdapter(SeedsFile)


@dataclass(frozen=True)
class SeedsFolder:
    """The runs of a folder.

    Attributes:
        path: The folder.
        seeds: The seeds.
    """

    path: Path
    seeds: tuple[int, ...]

    def run(self, seed: int) -> Path:
        """The run directory of a seed."""
        return self.path / f"seed_{seed}"

    @property
    def runs(self) -> tuple[Path, ...]:
        """All run directories."""
        return tuple(self.run(seed) for seed in self.seeds)

    @property
    def unfinished(self) -> tuple[int, ...]:
        """The seeds whose training is not at its end."""
        return tuple(seed for seed in self.seeds if not (self.run(seed) / VALIDATION).is_file())


def is_seeds(path: Path) -> bool:
    """Whether a folder holds the runs of several seeds."""
    return (path / SEEDS).is_file()


def new_seeds(path: Path, config: TrainConfig, seeds: Sequence[int]) -> SeedsFolder:
    """Write the file of a folder in which no run has begun."""
    common = replace(config, run_dir=None)
    _write(path, SeedsFile(config_as_json(common), tuple(seeds)))
    return SeedsFolder(path, tuple(seeds))


def open_seeds(path: Path) -> tuple[SeedsFolder, TrainConfig]:
    """The runs of a folder and their common settings.

    Raises:
        RunError: If ``seeds.json`` is missing, damaged or of another version.
    """
    content = _read(path)
    return SeedsFolder(path, content.seeds), config_from_json(path / SEEDS, content.config)


def set_common(path: Path, config: TrainConfig) -> None:
    """Change the common settings; estimates of runs with the former ones are dropped."""
    common = config_as_json(replace(config, run_dir=None))
    _write(path, replace(_read(path), config=common, estimates={}))


def summarise(folder: SeedsFolder, split: Split) -> dict[str, Estimate]:
    """Estimate every metric over the seeds and write the estimates into ``seeds.json``.

    Args:
        folder: The runs.
        split: The split on which they were evaluated.

    Raises:
        RunError: If an evaluation is missing or damaged.
    """
    found = estimates([read_result(evaluation_file(run, split)) for run in folder.runs])
    content = _read(folder.path)
    _write(folder.path, replace(content, estimates={**content.estimates, split: found}))
    return found


def _write(path: Path, content: SeedsFile) -> None:
    plain = _ADAPTER.dump_python(content, mode="json")
    write_text(path / SEEDS, json.dumps(plain, indent=2, allow_nan=False) + "\n")


def _read(path: Path) -> SeedsFile:
    try:
        return _ADAPTER.validate_python(read_json(path / SEEDS), strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunError(
            f"{path / SEEDS} is no list of seeds of this version ({place}: {first['msg']}); the "
            "runs beside it can be used one by one"
        ) from None
