"""The configuration of a training run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from marl_stl_agents.config.ppo import MAX_THREADS, ClusterConfig, ConstraintConfig, PPOConfig
from marl_stl_env.config import EnvConfig
from marl_stl_env.config.shown import ShowsChanges
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_range, check_types

Backend = Literal["supersuit", "native", "torch", "rllib"]
Device = Literal["auto", "cpu", "cuda"]
Stl = Literal["off", "monitor", "shape", "lagrangian"]


@dataclass(frozen=True, repr=False)
class TrainConfig(ShowsChanges):
    """One training run.

    Attributes:
        env: The environment.
        ppo: The trainer.
        stl: "off" ignores specifications; "monitor" logs them; "shape" rewards satisfying them;
            "lagrangian" puts a price on violating each. The last two show the sensors what is
            left of each specification; where that takes labels, only the value function sees it.
            The backend "rllib" monitors at checkpoints, not in its rollouts.
        constraints: The settings of "shape" and "lagrangian".
        backend: "supersuit" goes through PettingZoo and SuperSuit, "native" through the batched
            numpy engine: the same trajectories, many times faster. "torch" keeps engine, rollouts
            and updates on one device. "rllib" trains on a Ray cluster.
        cluster: The cluster of "rllib".
        lanes: Independent copies of the stream.
        iterations: Rollouts, each followed by an update.
        evaluate_every: Iterations between two checkpoints, each evaluated on validation data.
        warm_start: Epochs in which the policy first imitates calibrated classifiers, one for what
            each sensor sees, with the record and the verdicts of entities; 0 begins untrained.
        seed: Lane i replays with seed + i; also seeds the network and the sampling of actions.
        device: Where torch computes; "auto" takes CUDA where it is there.
        threads: Threads of torch; one is rarely slower, and far faster on shared cores.
        run_dir: Folder of the run; None makes ``runs/<time>-<dataset>``.
        progress: Show a progress bar.
        preflight: Check the data first: what can any policy reach on it?
    """

    env: EnvConfig = field(default_factory=EnvConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    stl: Stl = "monitor"
    constraints: ConstraintConfig = field(default_factory=ConstraintConfig)
    backend: Backend = "supersuit"
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    lanes: int = 64
    iterations: int = 30
    evaluate_every: int = 10
    warm_start: int = 0
    seed: int = 0
    device: Device = "auto"
    threads: int = 1
    run_dir: Path | None = None
    progress: bool = True
    preflight: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.run_dir, str):
            object.__setattr__(self, "run_dir", Path(self.run_dir))
        check_types(self)
        for name in ("iterations", "evaluate_every"):
            check_range(name, getattr(self, name), 1, 10**8)
        check_range("warm_start", self.warm_start, 0, 10**4)
        check_range("lanes", self.lanes, 1, 2**20)
        check_range("threads", self.threads, 1, MAX_THREADS)
        check_range("seed", self.seed, 0, 2**32 - 1)
        if self.env.split != "train":
            raise ConfigError(
                f"split={self.env.split!r}: training uses the training split; evaluate others with "
                "marl-stl-evaluate --split"
            )
        if self.env.faults.faulty >= self.env.agents:
            raise ConfigError(
                f"faulty={self.env.faults.faulty} of {self.env.agents} sensors leaves nobody to "
                "learn from; training needs at least one honest sensor"
            )
        if self.backend == "rllib" and self.lanes % self.cluster.runners:
            raise ConfigError(
                f"lanes={self.lanes} cannot be shared out among runners={self.cluster.runners}; "
                "choose a multiple of it"
            )
        for problem in self._incompatible():
            raise ConfigError(problem)

    @property
    def task(self) -> EnvConfig:
        """The environment that is evaluated in: ``env`` with the monitors that ``stl`` needs."""
        if self.stl == "off":
            return self._monitored(False)
        observe = self.env.stl.observe or self.enforced
        return replace(self.env, stl=replace(self.env.stl, monitor=True, observe=observe))

    @property
    def rollouts(self) -> EnvConfig:
        """The environment that is trained in: ``task``, with the backend "rllib" unmonitored.

        What is monitored and not shown changes no observation, so it is the same task.
        """
        return self._monitored(False) if self.backend == "rllib" else self.task

    def _monitored(self, monitor: bool) -> EnvConfig:
        return replace(self.env, stl=replace(self.env.stl, monitor=monitor))

    @property
    def enforced(self) -> bool:
        """Whether training acts on specifications, and does not just log them."""
        return self.stl in {"shape", "lagrangian"}

    def _incompatible(self) -> Iterator[str]:
        """What the settings exclude, each with the remedy."""
        ppo, env = self.ppo, self.env
        if self.stl == "off" and env.stl.observe:
            yield "stl='off' is not compatible with stl.observe=True; use --stl monitor"
        if self.stl == "shape" and ppo.discount == 0.0:
            yield (
                "stl='shape' with discount=0: specifications span the whole episode, and without "
                "foresight only its very last step would be rewarded; use --discount 0.99 or so"
            )
        warm = {f"warm_start={self.warm_start}": self.warm_start > 0}
        shown = {f"stl={self.stl!r}": self.enforced, "stl.observe=True": env.stl.observe}
        needs = {
            "backend='torch'": (
                self.backend == "torch",
                {"policy='lstm'": ppo.policy == "lstm"},
                "use --backend native or supersuit (with --device cuda for the network)",
            ),
            "backend='rllib'": (
                self.backend == "rllib",
                {
                    "policy='lstm'": ppo.policy == "lstm",
                    "sharing='independent'": ppo.sharing == "independent",
                    "credit='entity'": ppo.credit == "entity",
                    **shown,
                    f"faulty={env.faults.faulty}": env.faults.faulty > 0,
                    "deliberation=1": env.deliberation == 1,
                    **warm,
                },
                "use --backend native or supersuit",
            ),
            "policy='lstm'": (
                ppo.policy == "lstm",
                {
                    "credit='entity'": ppo.credit == "entity",
                    "stl='lagrangian'": self.stl == "lagrangian",
                    **warm,
                },
                "use --policy mlp",
            ),
        }
        for setting, (given, excluded, remedy) in needs.items():
            for other, present in excluded.items():
                if given and present:
                    yield f"{setting} is not compatible with {other}; {remedy}"
