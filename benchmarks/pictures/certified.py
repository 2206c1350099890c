"""Figure of the certified team: ``python -m benchmarks.pictures.certified --folder DIR``.

The folder is that of ``python -m benchmarks.studies.certified train``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from marl_stl_agents.run_directory import read_json

from benchmarks.studies.certified import BEYOND, interquartile_mean, interval
from marl_stl_env.config import Split
from marl_stl_env.files import atomic_path

IMAGE = Path(__file__).parents[2] / "docs" / "images" / "certified.png"
_HONEST, _TWO, _THREE = "#009e73", "#0072b2", "#d55e00"


@dataclass(frozen=True)
class Settings:
    """Settings of the figure.

    Attributes:
        folder: Folder of the study's JSON files.
        split: The split that was evaluated.
        image: Figure to write.
    """

    folder: Path
    split: Split = "test"
    image: Path = IMAGE


def shares(folder: Path, split: Split, setting: str) -> dict[str, list[float]]:
    """Share of episodes that satisfy all specifications, of every seed.

    Args:
        folder: Folder of the study's JSON files.
        split: The split that was evaluated.
        setting: Name of the setting.

    Returns:
        One list for "honest", and one for each kind of fault.
    """
    name = setting.replace(" ", "-")
    runs = [read_json(path) for path in sorted(folder.glob(f"{split}-{name}-[0-9]*.json"))]
    found = {"honest": [one["honest"]["satisfied"] for one in runs]}
    for kind in runs[0]["faults"]:
        found[kind] = [one["faults"][kind]["satisfied"] for one in runs]
    return found


def main(settings: Settings) -> None:
    """Draw a point and an interval for every condition."""
    from matplotlib.figure import Figure

    two = shares(settings.folder, settings.split, "certified")
    three = shares(settings.folder, settings.split, BEYOND)
    kinds = [kind for kind in two if kind != "honest"]
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    groups = (
        ("honest", _HONEST, ["honest"], two, 0.0),
        ("two of seven faulty", _TWO, kinds, two, -0.12),
        ("three of seven: more than the vote tolerates", _THREE, kinds, three, 0.12),
    )
    for label, colour, conditions, found, shift in groups:
        values = [found[one] for one in conditions]
        middle = np.array([interquartile_mean(one) for one in values])
        ends = np.array([interval(one) for one in values]).T
        places = [list(two).index(one) + shift for one in conditions]
        axes.errorbar(
            places, middle, np.abs(ends - middle), fmt="o", color=colour, label=label, capsize=3
        )
    axes.axhline(0.95, color="grey", linewidth=0.8, linestyle="--")
    axes.set_xticks(range(len(two)), [one.replace("_", "\n") for one in two])
    axes.set_ylabel("episodes that satisfy\nall six specifications")
    axes.legend(loc="lower left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(settings.image) as draft:
        figure.savefig(draft, dpi=150, format="png")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
