"""A policy as an ONNX file that says what the policy says."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from marl_stl_agents.algorithms.device.ppo import heads
from marl_stl_env.errors import ExportError
from marl_stl_env.files import atomic_path
from marl_stl_env.types import Float32Array

#: The largest difference in a probability, a value or a memory that is only rounding.
TOLERANCE = 1e-4


class Outputs(nn.Module):
    """What a policy without memory says, as ONNX sees it.

    Args:
        policy: The policy of every sensor.
    """

    inputs: ClassVar[tuple[str, ...]] = ("observation",)
    outputs: ClassVar[tuple[str, ...]] = ("probabilities", "value")

    def __init__(self, policy: ActorCriticPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observation: Tensor) -> tuple[Tensor, ...]:
        """Action probabilities and values.

        Args:
            observation: (batch, width) float32

        Returns:
            Probabilities (batch, actions) float32 and values (batch,) float32.
        """
        log_probs, values = heads(self.policy, observation)
        return log_probs.exp(), values

    def wanted(self, observation: Tensor) -> tuple[Tensor, ...]:
        """The same by SB3's own functions."""
        chosen: Any = self.policy.get_distribution(observation).distribution
        return chosen.probs, self.policy.predict_values(observation)[:, 0]

    def start(self, observation: Tensor) -> tuple[Tensor, ...]:
        """The inputs of the first event of an episode."""
        return (observation,)


class MemoryOutputs(nn.Module):
    """What a policy with memory says, as ONNX sees it: the memory goes in and comes out.

    Args:
        policy: The policy of every sensor.
    """

    inputs: ClassVar[tuple[str, ...]] = (
        "observation",
        "hidden",
        "cell",
        "value_hidden",
        "value_cell",
    )
    outputs: ClassVar[tuple[str, ...]] = (
        "probabilities",
        "value",
        *(f"next_{name}" for name in inputs[1:]),
    )

    def __init__(self, policy: RecurrentActorCriticPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(
        self,
        observation: Tensor,
        hidden: Tensor,
        cell: Tensor,
        value_hidden: Tensor,
        value_cell: Tensor,
    ) -> tuple[Tensor, ...]:
        """Action probabilities, values and the new memory.

        Args:
            observation: (batch, width) float32
            hidden: Hidden state of the policy's memory.  # (batch, units) float32
            cell: Its cell state.  # (batch, units) float32
            value_hidden: Hidden state of the value function's memory.  # (batch, units) float32
            value_cell: Its cell state.  # (batch, units) float32

        Returns:
            Probabilities (batch, actions) float32, values (batch,) float32, and the memory.
        """
        policy = self.policy
        features = policy.features_extractor(observation)
        hidden, cell = _step(policy.lstm_actor, features, hidden, cell)
        value_hidden, value_cell = _step(policy.lstm_critic, features, value_hidden, value_cell)
        logits = policy.action_net(policy.mlp_extractor.forward_actor(hidden))
        values = policy.value_net(policy.mlp_extractor.forward_critic(value_hidden))[:, 0]
        return logits.softmax(dim=1), values, hidden, cell, value_hidden, value_cell

    def wanted(self, observation: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        """The same by sb3-contrib's own functions."""
        hidden, cell, value_hidden, value_cell = (state[None] for state in memory)
        going_on = torch.zeros(len(observation))
        before = RNNStates((hidden, cell), (value_hidden, value_cell))
        _, values, _, after = self.policy(observation, before, going_on)
        chosen, _ = self.policy.get_distribution(observation, (hidden, cell), going_on)
        distribution: Any = chosen.distribution
        return (
            distribution.probs,
            values[:, 0],
            *(state[0] for state in (*after.pi, *after.vf)),
        )

    def start(self, observation: Tensor) -> tuple[Tensor, ...]:
        """The inputs of the first event of an episode."""
        empty = torch.zeros(len(observation), self.policy.lstm_actor.hidden_size)
        return (observation, *(empty.clone() for _ in self.inputs[1:]))


def _step(
    lstm: nn.LSTM | None, features: Tensor, hidden: Tensor, cell: Tensor
) -> tuple[Tensor, Tensor]:
    """One event through a memory of one layer; torch exports loops over time badly."""
    if lstm is None:
        raise TypeError("policy and value function have a memory each")
    return torch.lstm_cell(features, (hidden, cell), *lstm.all_weights[0])


def save_onnx(policy: ActorCriticPolicy, observations: Float32Array, out: Path) -> None:
    """Write the ONNX file and see that it says what the policy says.

    Args:
        policy: The policy, on the CPU.
        observations: What both are asked about, twice in a row.  # (batch, width) float32
        out: The file.

    Raises:
        ExportError: If the libraries are missing, or the answers differ; then nothing is written.
    """
    if isinstance(policy, RecurrentActorCriticPolicy):
        said: Outputs | MemoryOutputs = MemoryOutputs(policy)
    else:
        said = Outputs(policy)
    said.eval()
    batch = torch.from_numpy(observations)
    with atomic_path(out) as draft, torch.no_grad():
        memory = said.wanted(*said.start(batch))[2:]
        inputs = (batch, *memory)
        _write(said, inputs, draft)
        for size in (1, len(batch)):
            _check(said, tuple(tensor[:size] for tensor in inputs), draft)


def _write(said: Outputs | MemoryOutputs, inputs: tuple[Tensor, ...], path: Path) -> None:
    rows = {0: torch.export.Dim("batch")}
    with _libraries():
        torch.onnx.export(
            said,
            inputs,
            path,
            input_names=said.inputs,
            output_names=said.outputs,
            dynamic_shapes=(rows,) * len(inputs),
            external_data=False,
            dynamo=True,
            verbose=False,
        )


def _check(said: Outputs | MemoryOutputs, inputs: tuple[Tensor, ...], path: Path) -> None:
    with _libraries():
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {name: tensor.numpy() for name, tensor in zip(said.inputs, inputs, strict=True)}
    answers = zip(said.wanted(*inputs), session.run(said.outputs, feed), strict=True)
    error = max(float((wanted - torch.from_numpy(got)).abs().max()) for wanted, got in answers)
    if not error <= TOLERANCE:
        raise ExportError(
            f"the ONNX file differs by {error:.2g} from the policy, more than rounding "
            f"({TOLERANCE:g}); nothing is written. Use --format sb3"
        )


@contextmanager
def _libraries() -> Iterator[None]:
    """Say which part is missing, and keep torch's notes about its own insides to itself."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as error:
        raise ExportError(
            f"{error}; install the optional part: pip install 'marl-stl-env[export]'"
        ) from error
