"""Groups of runs side by side: a folder of seeds is one group, a run a group of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from pathlib import Path
from typing import Final, Literal

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from marl_stl_agents.evaluation.seeds.folder import is_seeds, open_seeds
from marl_stl_agents.evaluation.seeds.statistics import (
    SCORES,
    Difference,
    Estimate,
    difference,
    estimates,
)
from marl_stl_agents.reporting.comparison import ComparedRun, read_runs
from marl_stl_env.config import Split
from marl_stl_env.errors import ComparisonError
from marl_stl_env.files import write_text

SCHEMA: Final = 1


@plain_dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in their seed alone.

    Attributes:
        name: Name of the folder, or its whole path if two groups share the name.
        runs: Its runs.
    """

    name: str
    runs: tuple[ComparedRun, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of every run."""
        return tuple(run.config.seed for run in self.runs)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """An estimate of every metric that all its runs have."""
        return estimates([run.result for run in self.runs])


@dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Comparison:
    """What a comparison found: the content of its JSON file.

    Attributes:
        split: The evaluated split.
        groups: Group to metric to estimate, in the order they were given.
        differences: Of every other group from the first, metric by metric; none where a group has
            a single run.
        schema: Version of this layout.
    """

    split: Split
    groups: dict[str, dict[str, Estimate]]
    differences: tuple[Difference, ...] = field(default=())
    schema: Literal[1] = SCHEMA


_ADAPTER = TypeAdapter(Comparison)


def read_groups(paths: Sequence[Path], split: Split) -> list[Group]:
    """Read groups of runs that were all evaluated on the same events.

    Args:
        paths: Run directories and folders of seeds, at least two in all.
        split: The evaluated split.

    Raises:
        RunError: If a run is missing or damaged.
        ComparisonError: If there are fewer than two, a run is not evaluated yet, or their data
            differs.
    """
    if len({path.resolve() for path in paths}) < max(2, len(paths)):
        raise ComparisonError("a comparison takes at least two different runs, or folders of seeds")
    folders = [open_seeds(path)[0].runs if is_seeds(path) else (path,) for path in paths]
    runs = read_runs([run for folder in folders for run in folder], split)
    same = len({path.resolve().name for path in paths}) < len(paths)
    groups = []
    for path, folder in zip(paths, folders, strict=True):
        own, runs = runs[: len(folder)], runs[len(folder) :]
        groups.append(Group(str(path) if same else path.resolve().name, tuple(own)))
    return groups


def compare_groups(groups: Sequence[Group], split: Split) -> Comparison:
    """Estimate every metric of each group, and test how the others differ from the first."""
    found = {group.name: group.estimates for group in groups}
    reference, differences = groups[0], []
    for group in groups[1:]:
        if min(len(reference.runs), len(group.runs)) < 2:
            continue
        differences += [
            difference(
                metric,
                (reference.name, found[reference.name][metric]),
                (group.name, found[group.name][metric]),
                paired=reference.seeds == group.seeds,
            )
            for metric in SCORES
            if metric in found[reference.name] and metric in found[group.name]
        ]
    return Comparison(split, found, tuple(differences))


def write_json(comparison: Comparison, path: Path) -> None:
    """Write a comparison, whole or not at all."""
    plain = _ADAPTER.dump_python(comparison, mode="json")
    write_text(path, json.dumps(plain, indent=2, allow_nan=False) + "\n")
