"""Frozen, validated configuration of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from marl_stl_env.config import EnvConfig
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_range, check_types

Vec = Literal["supersuit", "native", "device", "cuda"]
TrainEngine = Literal["sb3", "rllib"]
Schedule = Literal["linear", "constant"]
Network = Literal["mlp", "lstm"]
Credit = Literal["lane", "entity"]
Edges = Literal["events", "values"]
Sharing = Literal["shared", "independent"]
Device = Literal["auto", "cpu", "cuda"]
ReturnNormalization = Literal["running", "batch", "none"]
Preset = Literal["seed", "unseen", "prototypes", "response"]
Stl = Literal["off", "monitor", "shape", "lagrangian"]


@dataclass(frozen=True)
class PPOConfig:
    """Settings of proximal policy optimisation (Schulman et al. 2017).

    Attributes:
        learning_rate: Step size of Adam.
        schedule: "linear" lets the step size fall to 0 over the training, "constant" keeps it.
        n_steps: Steps of one rollout in every lane.
        batch_size: Transitions of one minibatch.
        n_epochs: Passes over each rollout.
        discount: Discount of future rewards. Events are independent of the actions, so 0 loses
            nothing and anything more adds noise to the value target.
        gae_lambda: Lambda of generalised advantage estimation.
        return_normalization: "running" divides rewards by the running deviation of the discounted
            return; "batch" gives the returns of each rollout mean 0 and variance 1, as once
            published and not advised, and not with memory; "none" leaves both as they are.
        credit: Which later rewards an action answers for: all of its "lane", or those of the same
            "entity", which are all that it bears on in a response; the discount then counts from
            one event of the entity to the next.
        clip_range: Clipping of the probability ratio.
        entropy_coefficient: Weight of the entropy bonus.
        value_coefficient: Weight of the value loss.
        max_grad_norm: Gradients are scaled down to this norm.
        policy: "mlp" evaluates each event by itself. "lstm" remembers the events of its episode:
            the policy and the value function each have a long short-term memory before the hidden
            layers. Not on the device path.
        sharing: "shared" is one network for all sensors, told which one it is; "independent" is one
            network each, with no parameter in common. Not with memory.
        bins: Bins of the piecewise-linear encoding of every feature; 0 feeds them as they are.
        edges: Bins begin at quantiles of the training "events", or of the distinct "values" too.
        prototypes: Benign and threatening training events, up to so many each, that every second
            sensor compares an event with: it is told how far the nearest are, and not the features.
        width: Units of each hidden layer, and of each memory.
        depth: Hidden layers of the policy and of the value function.
    """

    learning_rate: float = 3e-3
    schedule: Schedule = "linear"
    n_steps: int = 64
    batch_size: int = 2048
    n_epochs: int = 4
    discount: float = 0.0
    gae_lambda: float = 0.95
    return_normalization: ReturnNormalization = "running"
    credit: Credit = "lane"
    clip_range: float = 0.2
    entropy_coefficient: float = 0.05
    value_coefficient: float = 1.5
    max_grad_norm: float = 0.5
    policy: Network = "mlp"
    sharing: Sharing = "shared"
    bins: int = 8
    edges: Edges = "events"
    prototypes: int = 0
    width: int = 128
    depth: int = 2

    def __post_init__(self) -> None:
        check_types(self)
        check_range("learning_rate", self.learning_rate, 0.0, 10.0, open_low=True)
        for name in ("n_steps", "batch_size"):
            check_range(name, getattr(self, name), 2)
        for name in ("n_epochs", "width"):
            check_range(name, getattr(self, name), 1)
        for name in ("discount", "gae_lambda"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        for name in ("clip_range", "max_grad_norm"):
            check_range(name, getattr(self, name), 0.0, open_low=True)
        for name in ("entropy_coefficient", "value_coefficient", "bins", "prototypes", "depth"):
            check_range(name, getattr(self, name), 0.0)
        if self.prototypes and not self.bins:
            raise ConfigError(
                f"prototypes={self.prototypes} with bins=0: bins are what is compared; use --bins 8"
            )
        if self.policy == "lstm" and self.sharing == "independent":
            raise ConfigError(
                "sharing='independent' is there for policy='mlp' alone; with policy='lstm' use "
                "sharing='shared'"
            )
        if self.policy == "lstm" and self.return_normalization == "batch":
            raise ConfigError(
                "return_normalization='batch' is there for policy='mlp' alone; with policy='lstm' "
                "use 'running' or 'none'"
            )


@dataclass(frozen=True)
class ClusterConfig:
    """Where the engine "rllib" runs.

    Attributes:
        runners: Processes that step the environment; the lanes are shared out among them.
        learners: Processes that learn, each with a GPU where ``device`` is "cuda"; 0 learns in the
            process that was started.
        address: A Ray cluster, such as "auto" or "ray://head:10001"; None starts one on this
            machine.
    """

    runners: int = 2
    learners: int = 0
    address: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        check_range("runners", self.runners, 1)
        check_range("learners", self.learners, 0)


@dataclass(frozen=True)
class ConstraintConfig:
    """How training makes a team satisfy specifications.

    Attributes:
        budget: "lagrangian": share of episodes in which each specification may be broken (d).
        multiplier_rate: "lagrangian": step size of the multipliers (eta).
        max_multiplier: "lagrangian": no multiplier goes above this.
        bonus: "shape": reward of every sensor at the end of an episode with all specifications
            satisfied.
        potential: "shape": weight of the potential (beta); 0 leaves the bonus alone.
    """

    budget: float = 0.05
    multiplier_rate: float = 0.1
    max_multiplier: float = 30.0
    bonus: float = 10.0
    potential: float = 5.0

    def __post_init__(self) -> None:
        check_types(self)
        check_range("budget", self.budget, 0.0, 1.0)
        for item in fields(self):
            check_range(item.name, getattr(self, item.name), 0.0)


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        env: The environment.
        ppo: The trainer.
        stl: What training does about the specifications: "off" nothing; "monitor" logs them;
            "shape" rewards keeping them; "lagrangian" puts a price on breaking each. The last two
            show the sensors what is left of each specification, and need a discount above 0.
        specifications: How "shape" and "lagrangian" do so.
        vec: "supersuit" goes through PettingZoo and SuperSuit, "native" through the batched
            engine; the same trajectories, the second many times faster. "device" keeps engine,
            rollouts and learning on ``device``; "cuda" is that on a CUDA device.
        engine: "sb3" trains in this process; "rllib" on a Ray cluster, on its own path in place of
            ``vec``.
        cluster: The cluster of the engine "rllib".
        lanes: Independent copies of the stream.
        iterations: Rollouts, each followed by its update.
        evaluate_every: Iterations between two checkpoints, each evaluated on the validation split.
        seed: Lane i replays with seed + i; also seeds the network and the sampling of actions.
        device: "auto" takes CUDA where it is.
        threads: Threads of torch. One is rarely slower for networks of this size, and far faster
            where the cores are shared.
        run_dir: Folder of the run; None makes ``runs/<time>-<dataset>``.
        progress: Show a progress bar.
        preflight: Look at the data first: what could any policy reach on it?
    """

    env: EnvConfig = field(default_factory=EnvConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    stl: Stl = "off"
    constraints: ConstraintConfig = field(default_factory=ConstraintConfig)
    vec: Vec = "supersuit"
    engine: TrainEngine = "sb3"
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    lanes: int = 64
    iterations: int = 60
    evaluate_every: Annotated[int, tyro.conf.arg(aliases=("--checkpoint-every",))] = 10
    seed: int = 0
    device: Device = "auto"
    threads: int = 1
    run_dir: Path | None = None
    progress: bool = True
    preflight: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.run_dir, str):
            object.__setattr__(self, "run_dir", Path(self.run_dir))
        if self.vec == "cuda":
            object.__setattr__(self, "vec", "device")
            object.__setattr__(self, "device", "cuda")
        check_types(self)
        self._watch_specs()
        for name in ("lanes", "iterations", "evaluate_every", "threads"):
            check_range(name, getattr(self, name), 1)
        check_range("seed", self.seed, 0, 2**32 - 1)
        if self.vec == "device" and self.ppo.policy == "lstm":
            raise ConfigError(
                "policy='lstm': the trainer on the device has no memory; use --vec native or "
                "supersuit (with --device cuda for the network), or --policy mlp"
            )
        if self.ppo.prototypes and self.env.agents < 2:
            raise ConfigError("prototypes are for every second sensor, not agents=1; add sensors")
        self._check_credit()
        if self.engine == "rllib":
            self._check_rllib()
        if self.env.split != "train":
            raise ConfigError(
                f"split={self.env.split!r}: training uses the training split; evaluate others with "
                "evaluate.py --split"
            )
        if self.env.faults.faulty >= self.env.agents:
            raise ConfigError(
                f"faulty={self.env.faults.faulty} of {self.env.agents} sensors leaves nobody to "
                "learn from; training needs at least one honest sensor"
            )

    def _check_credit(self) -> None:
        """Refuse credit by entities where there are none, or where rollouts are kept otherwise."""
        missing = {
            "dynamics='replay'": self.env.dynamics == "replay",
            f"policy={self.ppo.policy!r}": self.ppo.policy == "lstm",
            f"vec={self.vec!r}": self.vec == "device",
            f"deliberation={self.env.deliberation}": self.env.deliberation == 1,
            "return_normalization='batch'": self.ppo.return_normalization == "batch",
        }
        for setting, missed in missing.items():
            if missed and self.ppo.credit == "entity":
                raise ConfigError(
                    f"credit='entity' does not go with {setting}: it needs dynamics='response' and "
                    "rollouts of an mlp on --vec native or supersuit; use --credit lane"
                )

    def _check_rllib(self) -> None:
        """Refuse what the cluster does not train."""
        if self.lanes % self.cluster.runners:
            raise ConfigError(
                f"lanes={self.lanes} cannot be shared out among runners={self.cluster.runners}; "
                "choose a multiple of it"
            )
        missing = {
            f"policy={self.ppo.policy!r}": self.ppo.policy != "mlp",
            f"sharing={self.ppo.sharing!r}": self.ppo.sharing != "shared",
            f"credit={self.ppo.credit!r}": self.ppo.credit != "lane",
            f"prototypes={self.ppo.prototypes}": self.ppo.prototypes > 0,
            f"stl={self.stl!r}": self.stl != "off",
            f"faulty={self.env.faults.faulty}": self.env.faults.faulty > 0,
            f"deliberation={self.env.deliberation}": self.env.deliberation > 0,
        }
        for setting, missed in missing.items():
            if missed:
                raise ConfigError(f"engine='rllib' does not train with {setting}; use --engine sb3")

    def _watch_specs(self) -> None:
        """Let the environment watch and show what training needs, and refuse what cannot be."""
        if self.stl == "off" and self.env.stl.monitor:
            object.__setattr__(self, "stl", "monitor")
        if self.stl == "off":
            return
        if self.vec == "device":
            raise ConfigError(
                f"stl={self.stl!r}: only the numpy engine has specifications; use --vec native or "
                "supersuit (with --device cuda for the network)"
            )
        enforced = self.stl != "monitor"
        stl = replace(self.env.stl, monitor=True, observe=self.env.stl.observe or enforced)
        object.__setattr__(self, "env", replace(self.env, stl=stl))
        if enforced and self.ppo.discount == 0.0:
            raise ConfigError(
                f"stl={self.stl!r} with discount=0: specifications span the whole episode, and "
                "without foresight only the very last step before a violation would count; use "
                "--discount 0.99 or so"
            )
        if enforced and self.ppo.credit == "entity":
            raise ConfigError(
                f"stl={self.stl!r} with credit='entity': specifications are about a lane's whole "
                "episode, not about one entity; use --credit lane"
            )
        if self.stl == "lagrangian" and (self.ppo.policy, self.ppo.sharing) != ("mlp", "shared"):
            raise ConfigError(
                "stl='lagrangian' is there for one network of all sensors, without memory; use "
                "--policy mlp and --sharing shared, or --stl shape"
            )
        if self.stl == "lagrangian" and self.ppo.return_normalization == "batch":
            raise ConfigError(
                "stl='lagrangian' weighs advantages of rewards against those of violations, which "
                "return_normalization='batch' takes the unit from; use 'running' or 'none', or "
                "--stl shape"
            )


@dataclass(frozen=True)
class TrainCommand(TrainConfig):
    """A new run, or the continuation of an old one.

    Attributes:
        resume: Continue this run where its newest checkpoint stands, with its own settings.
        restart: Begin anew with the settings of this run, in a new run directory.
        preset: Other settings in place of the defaults; other flags go on top of them. "seed", as
            published, is 3 sensors with full views and a discount of 0.99 on one lane, 150
            iterations of 2,048 steps. "unseen" is for attacks that training has not seen: 16
            sensors with random views, balanced families and synthetic outliers; in "prototypes"
            every second one is told distances to known events. "response" trains foresight: credit
            by entities and a discount of 0.8. In Python, begin from
            ``marl_stl_agents.commands.presets.PRESETS`` instead.
    """

    resume: Path | None = None
    restart: Path | None = None
    preset: Preset | None = None
    sweep: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resume is None and self.restart is None:
            return
        allowed = TrainConfig(run_dir=self.run_dir if self.resume is None else None)
        several = sum(path is not None for path in (self.resume, self.restart, self.sweep)) > 1
        if self.settings() != allowed or several:
            raise ConfigError(
                "--resume and --restart take the settings of the run they name: give one of them, "
                "and no other flag (but --run-dir with --restart)"
            )

    def settings(self) -> TrainConfig:
        """The settings of a new run."""
        names = [item.name for item in fields(TrainConfig)]
        return TrainConfig(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class EvaluateConfig:
    """One rollout of a finished run, or its decisions on new traffic.

    Attributes:
        run: The run directory; None takes the newest under ``runs``.
        data_dir: Folder with the data files, where it has moved since the training.
        split: The split to evaluate on.
        input: New traffic to decide on instead: CSV or Parquet with the columns of the run's data
            set. Labels may be left out; where they are there, the decisions are evaluated by them.
        decisions: Where to write the decisions on it; None takes ``decisions.parquet`` in the run
            directory.
        certify: Episodes, on seeds that training never used, in which the specifications are
            watched and certified; None takes 200 where the run watched specifications and 0
            elsewhere.
        epsilon: A certified specification may fail with this probability.
        delta: A certificate may be wrong with this probability.
        report: Also write the rollout as one self-contained page, ``report.html``, into the run
            directory (``report-<split>.html`` for another split than the test split).
        device: "auto" takes CUDA where it is.
        threads: Threads of torch.
    """

    run: tyro.conf.Positional[Path | None] = None
    data_dir: Path | None = None
    split: Literal["train", "validation", "test"] = "test"
    input: Path | None = None
    decisions: Path | None = None
    certify: int | None = None
    epsilon: float = 0.05
    delta: float = 0.05
    report: bool = False
    device: Device = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        check_types(self)
        check_range("threads", self.threads, 1)
        if self.decisions is not None and self.input is None:
            raise ConfigError(
                f"decisions={str(self.decisions)!r} says where to write the decisions on input=, "
                "which is not given"
            )
        if self.report and self.input is not None:
            raise ConfigError(
                "report=True shows a rollout of a split; the decisions on input= have none"
            )
        if self.certify is not None:
            check_range("certify", self.certify, 0, 10**6)
        for name in ("epsilon", "delta"):
            check_range(name, getattr(self, name), 0.0, 1.0, open_low=True)
