"""Behaviour cloning: a policy learns to vote as its teacher does, before PPO goes on.

Pomerleau (1991), "Efficient training of artificial neural networks for autonomous navigation". The
teacher plays, so that the policy sees the states that a good team meets.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.imitation.teacher import Teacher
from marl_stl_agents.policies.team import TeamPolicy
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.types import Float32Array, IntArray

_LANES = 64
#: Observations of single sensors at most; more of them taught nothing new.
_OBSERVATIONS = 2**19
#: No event of a small table is met more often.
_PASSES = 4
_MINIBATCH = 2048
_STEP_SIZE = 2e-3
#: In the end log-odds are multiplied by this. PPO learns from sampled actions, and those of a team
#: that is as unsure as its evidence are far from the most probable ones.
_SHARPNESS = 4.0
#: One observation of so many is kept out, to see how well the policy imitates.
_HELD_OUT = 16


class Lesson(NamedTuple):
    """What a teacher showed.

    Attributes:
        observations: What single sensors saw.  # (observations, width) float32
        actions: How probably each should take each action.  # (observations, actions) float32
    """

    observations: Float32Array
    actions: Float32Array


def play(config: TrainConfig, table: TrafficTable, teacher: Teacher) -> Lesson:
    """Let the teacher act for every sensor, and keep what it saw.

    Args:
        config: The run.
        table: The scaled training split.
        teacher: Who acts.
    """
    env = config.task
    engine = Engine(env, table, _LANES, config.seed)
    engine.reset()
    rounds = 1 + env.deliberation
    most = min(_OBSERVATIONS, _PASSES * len(table) * env.agents * rounds)
    steps = max(1, most // (_LANES * env.agents))
    observations: list[Float32Array] = []
    actions: list[Float32Array] = []
    for _ in range(steps):
        seen = engine.observe()
        shown = teacher.action_probabilities(engine, seen)
        observations.append(np.array(seen).reshape(_LANES * env.agents, -1))
        actions.append(shown.reshape(_LANES * env.agents, -1))
        record = engine.step(shown.argmax(axis=2).astype(np.int8))
        if record.truncated.any():
            engine.reset(record.truncated)
    return Lesson(np.concatenate(observations), np.concatenate(actions))


def clone(policy: TeamPolicy, lesson: Lesson, epochs: int, seed: int) -> float:
    """Teach a policy without memory what a teacher showed.

    The loss is the cross-entropy between the teacher's and the policy's actions.

    Args:
        policy: The policy; its value function is left alone.
        lesson: What the teacher showed.
        epochs: Passes over it.
        seed: Of the order of the observations.

    Returns:
        On how large a share of the observations that were kept out policy and teacher find the
        same action most probable.
    """
    order = np.random.default_rng(seed).permutation(len(lesson.actions))
    held_out, learned = np.split(order, [len(order) // _HELD_OUT])
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(policy.parameters(), _STEP_SIZE)
    per_epoch = -(-len(learned) // _MINIBATCH)
    falls = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, epochs * per_epoch)
    policy.set_training_mode(True)
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(learned), per_epoch):
            loss = _cross_entropy(policy, lesson, rows)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            falls.step()
    policy.sharpen(_SHARPNESS)
    policy.set_training_mode(False)
    return _agreement(policy, lesson, held_out)


def _log_votes(policy: TeamPolicy, lesson: Lesson, rows: IntArray) -> Tensor:
    """The policy's log probability of each action.  # (rows, actions) float32."""
    batch = torch.from_numpy(lesson.observations[rows]).to(policy.device)
    logits: Tensor = cast("Any", policy.get_distribution(batch).distribution).logits
    return logits


def _cross_entropy(policy: TeamPolicy, lesson: Lesson, rows: IntArray) -> Tensor:
    shown = torch.from_numpy(lesson.actions[rows]).to(policy.device)
    # Where nothing is shown there is nothing to learn, of actions that a mask forbids either.
    logs = torch.where(shown > 0, _log_votes(policy, lesson, rows), 0.0)
    return -(shown * logs).sum(dim=1).mean()


def _agreement(policy: TeamPolicy, lesson: Lesson, rows: IntArray) -> float:
    with torch.no_grad():
        chosen = _log_votes(policy, lesson, rows).argmax(dim=1).cpu().numpy()
    return float((chosen == lesson.actions[rows].argmax(axis=1)).mean())
