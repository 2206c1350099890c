"""Effect of return normalisation on the value function, under the published protocol.

``python -m benchmarks.studies.return_normalization --image docs/images/return_normalization.png
--out returns.json`` trains under ``--preset seed`` with each normalisation, at the published
discount of 0.99 and at 0. Everything is evaluated on the validation split.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from marl_stl_agents.algorithms.ppo import make_trainer, resolve_device
from marl_stl_agents.commands.presets import PRESETS
from marl_stl_agents.config import ReturnNormalization, TrainConfig
from marl_stl_agents.run_directory import read_json
from marl_stl_agents.training.callbacks import RewardCallback, ValueLossCallback

from benchmarks.common.measure import write_result
from benchmarks.studies.return_normalization.history import History
from benchmarks.studies.return_normalization.report import MODES, draw, show
from marl_stl_env.data.prepare import PreparedData, prepare


@dataclass(frozen=True)
class Settings:
    """Settings of the study.

    Attributes:
        seeds: Seeds of every training.
        modes: Normalisations.
        discounts: Discounts.
        iterations: Iterations with a discount above 0.
        undiscounted_iterations: Iterations with a discount of 0, which learns sooner.
        gae_lambda: Lambda of generalised advantage estimation.
        lanes: Lanes that share the 2,048 steps of a rollout; the published value is 1.
        batch_size: Transitions of one minibatch; the published value is 64.
        quick: One short training of each.
        results: JSON files of earlier runs, which are drawn instead of training.
        image: The figure to write.
        out: JSON file to write, rewritten after every training.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    modes: tuple[ReturnNormalization, ...] = MODES
    discounts: tuple[float, ...] = (0.99, 0.0)
    iterations: int = 150
    undiscounted_iterations: int = 30
    gae_lambda: float = PRESETS["seed"].ppo.gae_lambda
    lanes: int = 1
    batch_size: int = 64
    quick: bool = False
    results: tuple[Path, ...] = ()
    image: Path | None = None
    out: Path | None = None


def training(
    settings: Settings, mode: ReturnNormalization, discount: float, seed: int
) -> TrainConfig:
    """The published protocol with one normalisation and discount, on the native backend."""
    preset = PRESETS["seed"].settings()
    ppo = replace(
        preset.ppo,
        return_normalization=mode,
        discount=discount,
        gae_lambda=settings.gae_lambda,
        batch_size=settings.batch_size,
        n_steps=64 if settings.quick else preset.ppo.n_steps // settings.lanes,
    )
    iterations = settings.iterations if discount > 0.0 else settings.undiscounted_iterations
    return replace(
        preset,
        ppo=ppo,
        backend="native",
        lanes=settings.lanes,
        seed=seed,
        device="cpu",
        iterations=2 if settings.quick else iterations,
        progress=False,
    )


def train(config: TrainConfig, prepared: PreparedData) -> dict[str, list[float]]:
    """The curves of one training."""
    device = resolve_device(config.device, config.threads)
    model = make_trainer(config, prepared, device)
    history = History(config, prepared.tables["validation"])
    steps = config.iterations * model.n_steps * model.n_envs
    model.learn(steps, callback=[RewardCallback(), ValueLossCallback(), history])
    return history.curves


def study(settings: Settings) -> list[dict[str, Any]]:
    """Train all settings, or read earlier runs."""
    if settings.results:
        return [one for path in settings.results for one in read_json(path)["runs"]]
    prepared = prepare(PRESETS["seed"].env)
    runs: list[dict[str, Any]] = []
    for seed in settings.seeds[:1] if settings.quick else settings.seeds:
        for discount in settings.discounts:
            for mode in settings.modes:
                config = training(settings, mode, discount, seed)
                settled: dict[str, Any] = {
                    "seed": seed,
                    "lanes": config.lanes,
                    "batch_size": config.ppo.batch_size,
                    "gae_lambda": config.ppo.gae_lambda,
                }
                curves = train(config, prepared)
                runs.append({"mode": mode, "discount": discount, **settled, "curves": curves})
                write(runs, settings)
    return runs


def write(runs: list[dict[str, Any]], settings: Settings) -> None:
    """Write the runs."""
    write_result(settings.out, {"runs": runs})


def main(settings: Settings) -> None:
    """Train, print, draw and write."""
    runs = study(settings)
    show(runs)
    if settings.image is not None:
        draw(runs, settings.image)
    write(runs, settings)


if __name__ == "__main__":
    program = "python -m benchmarks.studies.return_normalization"
    main(tyro.cli(Settings, prog=program, description=__doc__))
