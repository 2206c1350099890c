"""Figure of the running robustness: ``python -m benchmarks.pictures.robustness``.

One lane of ``TrafficResponse-v0`` whose team raises random alerts, more and more often during the
episode, under the specification ``G (alerts_16 <= 6)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from marl_stl_env.config import EnvConfig, StlConfig
from marl_stl_env.engine.engine import Engine
from marl_stl_env.files import atomic_path
from marl_stl_env.types import Action, IntArray

IMAGE = Path(__file__).parents[2] / "docs" / "images" / "robustness.png"
CONFIG = EnvConfig(
    dynamics="response",
    agents=1,
    views="full",
    episode_length=96,
    stl=StlConfig(monitor=True, specs=("alert budget=G (alerts_16 <= 6)",)),
)


@dataclass(frozen=True)
class Settings:
    """Settings of the figure.

    Attributes:
        seed: Seed of the lane and of the alerts.
        image: Figure to write.
    """

    seed: int = 0
    image: Path = IMAGE


def episode(seed: int) -> tuple[IntArray, IntArray]:
    """Alerts in the last 16 steps and running robustness.  # (steps,) each."""
    engine, rng = Engine.from_config(CONFIG, 1, seed), np.random.default_rng(seed)
    engine.reset()
    alerts, running = [], []
    for step in range(CONFIG.episode_length):
        alert = rng.random() < step / (1.5 * CONFIG.episode_length)
        record = engine.step(np.full((1, 1), Action.ALERT if alert else Action.ALLOW))
        alerts.append(int(record.decisions[0] == Action.ALERT))
        running.append(int(record.spec_status.robustness[0, 0]))
    return np.convolve(alerts, np.ones(16, np.int64))[: len(alerts)], np.array(running)


def main(settings: Settings) -> None:
    """Draw both curves, one above the other."""
    from matplotlib.figure import Figure

    counts, running = episode(settings.seed)
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.step(range(len(counts)), counts, where="mid", label="alerts_16")
    above.axhline(6, color="tab:red", linestyle="--", label="specified: at most 6")
    below.step(range(len(counts)), 6 - counts, where="mid", label="alerts_16 <= 6, at this step")
    below.step(range(len(counts)), running, where="mid", label="G (alerts_16 <= 6), so far")
    below.axhline(0, color="tab:red", linestyle="--")
    violated = np.flatnonzero(running < 0)
    for axis in (above, below):
        if len(violated):
            axis.axvspan(int(violated[0]), len(counts) - 1, color="tab:red", alpha=0.1)
        axis.legend(loc="lower left" if axis is below else "upper left")
        axis.grid(alpha=0.3)
    above.set_ylabel("alerts in 16 steps")
    below.set(ylabel="robustness", xlabel="step")
    with atomic_path(settings.image) as draft:
        figure.savefig(draft, dpi=120, format="png")


if __name__ == "__main__":
    main(tyro.cli(Settings))
