"""The trainer: PPO, specifications as constraints, the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from marl_stl_env.config.shown import ShowsChanges
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_range, check_types

Schedule = Literal["linear", "constant"]
Network = Literal["mlp", "lstm"]
Credit = Literal["lane", "entity"]
Sharing = Literal["shared", "independent"]
Rates = Literal["greedy", "sampled"]
ReturnNormalization = Literal["running", "batch", "none"]

#: Least and greatest value of every size. Whether several large ones fit into the memory of a
#: machine is checked when a training begins.
_SIZES = {
    "n_steps": (2, 2**20),
    "batch_size": (2, 2**31),
    "n_epochs": (1, 1000),
    "width": (1, 2**14),
    "depth": (0, 64),
    "bins": (0, 2**12),
}
#: Threads and processes; more than any machine has use for.
MAX_THREADS = 1024


@dataclass(frozen=True, repr=False)
class PPOConfig(ShowsChanges):
    """Settings of proximal policy optimisation (Schulman et al. 2017).

    Attributes:
        learning_rate: Step size of Adam.
        schedule: "linear" lets the step size fall to 0 over the training, "constant" keeps it.
        n_steps: Steps of one rollout in every lane.
        batch_size: Transitions of one minibatch at most; minibatches are of equal size where they
            can be.
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
        final_entropy_coefficient: Its weight at the end, reached in equal steps; None keeps it.
        value_coefficient: Weight of the value loss.
        max_grad_norm: Gradients are scaled down to this norm.
        policy: "mlp" evaluates each event by itself. "lstm" remembers the events of its episode:
            the policy and the value function each have a long short-term memory before the hidden
            layers. Not on the device path.
        sharing: "shared" is one network for all sensors, told which one it is; "independent" is one
            network each, with no parameter in common. Not with memory.
        bins: Bins of the piecewise-linear encoding of every feature; 0 feeds them as they are.
        width: Units of each hidden layer, and of each memory.
        depth: Hidden layers of the policy and of the value function.
        shared_trunk: Both have their hidden layers in common, which halves the operations.
            Only with "mlp" and sharing "shared", and where the value function sees no more than
            the policy.
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
    final_entropy_coefficient: float | None = None
    value_coefficient: float = 1.5
    max_grad_norm: float = 0.5
    policy: Network = "mlp"
    sharing: Sharing = "shared"
    bins: int = 8
    width: int = 128
    depth: int = 2
    shared_trunk: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        check_range("learning_rate", self.learning_rate, 0.0, 10.0, open_low=True)
        for name, (low, high) in _SIZES.items():
            check_range(name, getattr(self, name), low, high)
        for name in ("discount", "gae_lambda"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        for name in ("clip_range", "max_grad_norm"):
            check_range(name, getattr(self, name), 0.0, 1e6, open_low=True)
        for name in ("entropy_coefficient", "value_coefficient"):
            check_range(name, getattr(self, name), 0.0, 1e6)
        if self.final_entropy_coefficient is not None:
            check_range("final_entropy_coefficient", self.final_entropy_coefficient, 0.0, 1e6)
        if self.policy == "lstm" and self.sharing == "independent":
            raise ConfigError(
                "sharing='independent' is there for policy='mlp' alone; with policy='lstm' use "
                "sharing='shared'"
            )
        if self.shared_trunk and (self.policy == "lstm" or self.sharing == "independent"):
            raise ConfigError(
                "shared_trunk=True, as in the preset 'fast', is there for policy='mlp' with "
                "sharing='shared'; leave the preset out, or set it to False"
            )
        if self.policy == "lstm" and self.return_normalization == "batch":
            raise ConfigError(
                "return_normalization='batch' is there for policy='mlp' alone; with policy='lstm' "
                "use 'running' or 'none'"
            )


@dataclass(frozen=True, repr=False)
class ConstraintConfig(ShowsChanges):
    """How training makes a team satisfy specifications.

    Attributes:
        budget: "lagrangian": share of episodes in which any priced specification may be violated;
            each of n may be violated in 1/n of them.
        proportional: "lagrangian": gain of the excess of a violation rate over its budget (Kp).
        integral: "lagrangian": gain of the sum of its past (Ki).
        derivative: "lagrangian": gain of its rise (Kd).
        max_multiplier: "lagrangian": no multiplier goes above this.
        rates: "lagrangian": violation rates of the "greedy" team, on episodes of their own, or of
            the "sampled" actions of the rollouts.
        measure_episodes: "lagrangian": greedy episodes of one measurement.
        measure_every: "lagrangian": rollouts between two measurements.
        cost_discount: "lagrangian": of costs along a lane; along an entity it is 1.
        bonus: "shape": reward of every sensor at the end of an episode with all specifications
            satisfied.
        potential: "shape": weight of the potential (beta); 0 leaves the bonus alone.
    """

    budget: float = 0.01
    proportional: float = 20.0
    integral: float = 2.0
    derivative: float = 0.5
    max_multiplier: float = 5.0
    rates: Rates = "greedy"
    measure_episodes: int = 256
    measure_every: int = 3
    cost_discount: float = 0.97
    bonus: float = 10.0
    potential: float = 5.0

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("budget", "cost_discount"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        for name in ("proportional", "integral", "derivative", "max_multiplier", "potential"):
            check_range(name, getattr(self, name), 0.0, 1e6)
        check_range("bonus", self.bonus, 0.0, 1e6)
        check_range("measure_episodes", self.measure_episodes, 1, 10**6)
        check_range("measure_every", self.measure_every, 1, 10**6)


@dataclass(frozen=True, repr=False)
class ClusterConfig(ShowsChanges):
    """Where the backend "rllib" runs.

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
        check_range("runners", self.runners, 1, MAX_THREADS)
        check_range("learners", self.learners, 0, MAX_THREADS)
