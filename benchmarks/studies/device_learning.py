r"""Learning curves of the backends "torch" and "native" (SB3's PPO) over seeds.

python -m benchmarks.studies.device_learning --out device.json \
        --image docs/images/device_learning.png
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from marl_stl_agents.algorithms.ppo import make_trainer
from marl_stl_agents.config import Backend, PPOConfig, TrainConfig

from benchmarks.common.learning_curve import Scores
from benchmarks.common.measure import show, write_result
from benchmarks.common.partial import PARTIAL
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.files import atomic_path

VECS: tuple[Backend, ...] = ("native", "torch")


@dataclass(frozen=True)
class Settings:
    """What to train.

    Attributes:
        seeds: Seeds of each backend.
        iterations: Iterations of each training, the defaults otherwise.
        lanes: Lanes of each training.
        quick: One short training of each.
        image: The figure to write.
        out: JSON file to write.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    iterations: int = 30
    lanes: int = 64
    quick: bool = False
    image: Path | None = None
    out: Path | None = None


def learning_curve(
    backend: Backend, seed: int, prepared: PreparedData, settings: Settings
) -> list[tuple[float, float]]:
    """Seconds and mean decision reward on the validation split, before and after each iteration."""
    lanes, iterations = (4, 2) if settings.quick else (settings.lanes, settings.iterations)
    env, ppo = PARTIAL, PPOConfig()
    config = TrainConfig(
        env, ppo, stl="off", backend=backend, lanes=lanes, seed=seed, progress=False
    )
    device = torch.device("cpu")
    model = make_trainer(config, prepared, device)
    scores = Scores(env, prepared.tables["validation"], device)
    model.learn(iterations * model.n_steps * model.n_envs, callback=scores)
    return scores.curve


def study(settings: Settings) -> dict[str, Any]:
    """Learning curves of both backends and their final scores."""
    prepared = prepare(PARTIAL)
    seeds = settings.seeds[:1] if settings.quick else settings.seeds
    result: dict[str, Any] = {}
    for backend in VECS:
        curves = [learning_curve(backend, seed, prepared, settings) for seed in seeds]
        final = [curve[-1][1] for curve in curves]
        result[backend] = {
            "rewards": [[reward for _, reward in curve] for curve in curves],
            "seconds": [curve[-1][0] for curve in curves],
            "final_mean": float(np.mean(final)),
            "final_std": float(np.std(final, ddof=len(final) > 1)),
        }
    return result


def draw(result: dict[str, Any], image: Path) -> None:
    """Draw all learning curves, one colour for each backend."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panel = plt.subplots(figsize=(6, 3.6))
    for backend, colour in zip(VECS, ("tab:blue", "tab:orange"), strict=True):
        for number, rewards in enumerate(result[backend]["rewards"]):
            label = backend if number == 0 else None
            panel.plot(rewards, color=colour, alpha=0.6, label=label)
    panel.set_xlabel("iteration")
    panel.set_ylabel("decision reward per validation event")
    panel.grid(alpha=0.3)
    panel.legend()
    figure.tight_layout()
    with atomic_path(image) as draft:
        figure.savefig(draft, dpi=110)
    plt.close(figure)


def main(settings: Settings) -> None:
    """Train, print, draw and write."""
    torch.set_num_threads(1)
    result = study(settings)
    columns = ("path", "final reward", "deviation over seeds", "seconds of training")
    rows = [
        [backend, entry["final_mean"], entry["final_std"], float(np.mean(entry["seconds"]))]
        for backend, entry in result.items()
    ]
    show("synthetic, validation split", columns, rows)
    if settings.image is not None:
        draw(result, settings.image)
    write_result(settings.out, result)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
