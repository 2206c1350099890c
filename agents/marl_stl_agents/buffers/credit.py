"""Which later rewards and costs an action answers for."""

from __future__ import annotations

from dataclasses import dataclass

from marl_stl_agents.config import Credit, TrainConfig
from marl_stl_env.config import EnvConfig


@dataclass(frozen=True)
class CreditRule:
    """How a rollout turns rewards and costs into advantages.

    Attributes:
        path: Along all later events of the "lane", or along those of the event's "entity".
        within_event: Discount from an event's proposal to its vote.
        cost_discount: Discount of costs along a lane. Along an entity it is 1.
        normalize_returns: Give the returns of each rollout mean 0 and variance 1.
        costs: The priced specifications, in the order of the environment's.
        entity_costs: For each of them, whether it is about the event's own entity.
    """

    path: Credit = "lane"
    within_event: float = 1.0
    cost_discount: float = 1.0
    normalize_returns: bool = False
    costs: tuple[int, ...] = ()
    entity_costs: tuple[bool, ...] = ()


def within_event(env: EnvConfig) -> float:
    """The discount from a proposal to the vote on the same event: 1, or 0 where it changes nothing.

    A sensor's proposal shows others what it observes. Where each sensor is rewarded for its own
    vote alone, and decisions have no consequences, the reward of the vote is noise to the proposal.
    """
    return 0.0 if env.reward.team_share == 0.0 and env.dynamics == "replay" else 1.0


def needs_team_buffer(config: TrainConfig) -> bool:
    """Whether a run needs more than SB3's own rollout buffer."""
    ppo, task = config.ppo, config.task
    return bool(
        task.faults.faulty
        or task.deliberation
        or ppo.credit == "entity"
        or ppo.return_normalization == "batch"
        or config.stl == "lagrangian"
    )
