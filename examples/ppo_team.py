"""Train a team of sensors with PPO in one file, to be read from top to bottom.

    python examples/ppo_team.py --seed 1

Every sensor of every lane is one row of the batch, and all share one network; the observation says
which sensor it is. Nothing of ``marl_stl_agents`` is used: copy the file and change it. The
style is that of CleanRL (Huang et al. 2022, JMLR 23), the algorithm that of Schulman et al. 2017.

Normalised score on the test split of ``synthetic`` (0: the better constant policy, 1: the oracle):
.866, .868 and .870 with seeds 1 to 3 (F1 .899 to .904). The project's own trainer has .885, .892
and .891 with the same seeds: ``marl-stl-train --backend native --iterations 60 --seed SEED``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import tyro
from torch import nn
from torch.distributions import Categorical

import marl_stl_env as mse
from marl_stl_env.config import Split, Views
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.supersuit import supersuit_vec_env


@dataclass(frozen=True)
class Args:
    """What can be changed on the command line."""

    agents: int = 7
    """Sensors."""
    views: Views = "overlap"
    """What each sensor sees."""
    rows: int = 200_000
    """Events of the synthetic data set."""
    seed: int = 1
    """Of the lanes, the network and the sampled actions."""
    vector: Literal["native", "supersuit"] = "native"
    """One batch of all lanes, or SuperSuit: the same trajectories, slower."""
    lanes: int = 64
    """Independent copies of the stream."""
    iterations: int = 60
    """Rollouts, each followed by an update."""
    steps: int = 64
    """Steps of a rollout in every lane."""
    epochs: int = 4
    """Passes over each rollout."""
    minibatch: int = 2048
    """Rows of one gradient step."""
    learning_rate: float = 3e-3
    """Of Adam; falls to 0 over the training."""
    discount: float = 0.0
    """Of later rewards. Events do not depend on actions here, so 0 loses nothing."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    clip_range: float = 0.2
    """Clipping of the probability ratio."""
    entropy: float = 0.05
    """Weight of the entropy bonus."""
    value: float = 1.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    width: int = 128
    """Units of a hidden layer."""


def layers(inputs: int, width: int, outputs: int, gain: float) -> nn.Sequential:
    """Two hidden layers; all weights are orthogonal, the last ones with this gain."""
    sizes = [(inputs, width, 2**0.5), (width, width, 2**0.5), (width, outputs, gain)]
    linear = [nn.Linear(wide, narrow) for wide, narrow, _ in sizes]
    for layer, (_, _, scale) in zip(linear, sizes, strict=True):
        nn.init.orthogonal_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])


class Network(nn.Module):
    """Policy and value function, with no layer in common.

    Args:
        inputs: Columns of an observation.
        width: Units of a hidden layer.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.actor = layers(inputs, width, len(mse.Action), 0.01)
        self.critic = layers(inputs, width, 1, 1.0)

    def policy(self, observations: torch.Tensor) -> Categorical:
        """How likely each row takes each action.  # (rows, columns) float32."""
        return Categorical(logits=self.actor(observations))

    def values(self, observations: torch.Tensor) -> torch.Tensor:
        """The value of each row.  # (rows, columns) float32 -> (rows,) float32."""
        values: torch.Tensor = self.critic(observations).squeeze(-1)
        return values


def train(args: Args) -> Network:
    """Train a team; the same arguments give the same weights on one machine."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    make: Any = {"native": TrafficVecEnv, "supersuit": supersuit_vec_env}[args.vector]
    venv = make(environment(args), args.lanes, args.seed)
    seen, began = torch.as_tensor(venv.reset()), time.monotonic()
    rows, columns = seen.shape  # one row for each of lanes * agents sensors
    network = Network(columns, args.width)
    optimizer = torch.optim.Adam(network.parameters(), args.learning_rate, eps=1e-5)
    scale = ReturnScale(rows, args.discount)

    observations = torch.zeros(args.steps, rows, columns)
    actions = torch.zeros(args.steps, rows, dtype=torch.int64)
    log_probs, rewards, dones, values = torch.zeros(4, args.steps, rows)
    for iteration in range(args.iterations):
        optimizer.param_groups[0]["lr"] = args.learning_rate * (1 - iteration / args.iterations)

        # The rollout: every sensor of every lane acts, all at once.
        paid = 0.0
        for step in range(args.steps):
            with torch.no_grad():
                policy = network.policy(seen)
                values[step] = network.values(seen)
            action = policy.sample()
            observations[step], actions[step] = seen, action
            log_probs[step] = policy.log_prob(action)
            following, reward, done, infos = venv.step(action.numpy())
            paid += float(reward.mean()) / args.steps
            reward = scale(reward, done)
            # An episode never terminates, it is cut off: what would have followed still counts.
            for row in np.flatnonzero(done) if args.discount else ():
                last = torch.as_tensor(infos[row]["terminal_observation"])[None]
                with torch.no_grad():
                    reward[row] += args.discount * float(network.values(last))
            rewards[step], dones[step] = torch.as_tensor(reward), torch.as_tensor(done)
            seen = torch.as_tensor(following)

        # Generalised advantage estimation, from the last step back to the first.
        advantages = torch.zeros_like(rewards)
        with torch.no_grad():
            next_value, advantage = network.values(seen), torch.zeros(rows)
        for step in reversed(range(args.steps)):
            alive = args.discount * (1 - dones[step])
            delta = rewards[step] + alive * next_value - values[step]
            advantage = delta + alive * args.gae_lambda * advantage
            advantages[step], next_value = advantage, values[step]

        batch = [observations, actions, log_probs, advantages, advantages + values]
        flat = [part.flatten(0, 1) for part in batch]
        for _ in range(args.epochs):
            for some in torch.randperm(args.steps * rows).split(args.minibatch):
                loss = update(network, optimizer, [part[some] for part in flat], args)
        if iteration % 10 == 9:
            count = (iteration + 1) * args.steps * rows
            speed = count / (time.monotonic() - began)
            print(
                f"{count:>9,} agent-steps  reward {paid:+.3f}  value loss {loss:.3f}  "
                f"{speed:,.0f} agent-steps/s"
            )
    venv.close()
    return network


def update(
    network: Network, optimizer: torch.optim.Adam, rows: list[torch.Tensor], args: Args
) -> float:
    """One gradient step on some rows of a rollout; returns the value loss."""
    observations, actions, log_probs, advantages, returns = rows
    policy = network.policy(observations)
    ratio = (policy.log_prob(actions) - log_probs).exp()
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    clipped = ratio.clamp(1 - args.clip_range, 1 + args.clip_range)
    policy_loss = -torch.min(ratio * advantages, clipped * advantages).mean()
    value_loss = (network.values(observations) - returns).square().mean()
    loss = policy_loss + args.value * value_loss - args.entropy * policy.entropy().mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), args.max_grad_norm)
    optimizer.step()
    return value_loss.item()


class ReturnScale:
    """Divides rewards by the running deviation of the discounted return.

    Args:
        rows: Sensors of all lanes.
        discount: Of later rewards.
    """

    def __init__(self, rows: int, discount: float) -> None:
        self.returns, self.discount = np.zeros(rows), discount
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def __call__(self, rewards: np.ndarray, dones: np.ndarray) -> np.ndarray:
        """The scaled rewards of a step.  # (rows,) float32, (rows,) bool -> (rows,) float64."""
        self.returns = self.returns * self.discount + rewards
        self.count += len(rewards)
        self.total += self.returns.sum()
        self.squares += np.square(self.returns).sum()
        variance = self.squares / self.count - (self.total / self.count) ** 2
        self.returns[dones] = 0.0
        scaled: np.ndarray = np.clip(rewards / np.sqrt(variance + 1e-8), -10, 10)
        return scaled


def environment(args: Args, **more: Any) -> mse.EnvConfig:
    """The environment of these arguments; ``more`` are other fields of ``EnvConfig``."""
    options = mse.DataConfig(dataset_options=(f"rows={args.rows}",))
    return mse.EnvConfig(agents=args.agents, views=args.views, data=options, **more)


def evaluate(network: Network, args: Args, split: Split = "test") -> dict[str, float]:
    """Let the greedy team decide on every event of a split: the plain loop of PettingZoo.

    Returns:
        Mean reward per event, the same as a normalised score, and F1.
    """
    env = mse.parallel_env(environment(args, split=split, episode_length=10**9))
    observations, _ = env.reset(seed=0)
    events = []
    while env.agents:
        with torch.no_grad():
            seen = torch.as_tensor(np.stack([observations[agent] for agent in env.agents]))
            actions = network.actor(seen).argmax(dim=1).tolist()
        acting = dict(zip(env.agents, actions, strict=True))
        observations, reward, _, _, infos = env.step(acting)
        facts = infos["sensor_0"]  # the decision and its reward are the team's: the same for all
        events.append((reward["sensor_0"], facts["label"], facts["decision_vote"]))
    rewards, labels, stopped = np.array(events).T
    pay, threats = mse.RewardConfig(), labels.mean()
    allow = threats * pay.false_negative + (1 - threats) * pay.true_negative
    block = threats * pay.true_positive + (1 - threats) * pay.false_positive
    oracle = threats * pay.true_positive + (1 - threats) * pay.true_negative
    constant, mean = float(max(allow, block)), float(rewards.mean())
    f1 = float(2 * (labels * stopped).sum() / max(1, labels.sum() + stopped.sum()))
    return {"reward": mean, "normalized": (mean - constant) / float(oracle - constant), "f1": f1}


if __name__ == "__main__":
    given = tyro.cli(Args)
    for name, figure in evaluate(train(given), given).items():
        print(f"{name}: {figure:.3f}")
