"""Export of a policy to ONNX, with a check that both give the same outputs."""

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

from marl_stl_agents.algorithms.device.heads import heads
from marl_stl_env.errors import ExportError
from marl_stl_env.files import atomic_path
from marl_stl_env.types import Float32Array

#: The largest difference in a probability, value or recurrent state that counts as rounding.
TOLERANCE = 1e-4


class Outputs(nn.Module):
    """The outputs of a feed-forward policy, in operations that ONNX supports.

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
        return log_probs.exp(), values[:, 0]

    def reference(self, observation: Tensor) -> tuple[Tensor, ...]:
        """The same outputs, computed by SB3."""
        chosen: Any = self.policy.get_distribution(observation).distribution
        return chosen.probs, self.policy.predict_values(observation)[:, 0]

    def start(self, observation: Tensor) -> tuple[Tensor, ...]:
        """The inputs at the first event of an episode."""
        return (observation,)


class RecurrentOutputs(nn.Module):
    """The outputs of an LSTM policy; its recurrent state is an input and an output.

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
        """Action probabilities, values and the next recurrent state.

        Args:
            observation: (batch, width) float32
            hidden: Hidden state of the policy's LSTM.  # (batch, units) float32
            cell: Its cell state.  # (batch, units) float32
            value_hidden: Hidden state of the value function's LSTM.  # (batch, units) float32
            value_cell: Its cell state.  # (batch, units) float32

        Returns:
            Probabilities (batch, actions) float32, values (batch,) float32, and the next hidden
            and cell states, each (batch, units) float32.
        """
        policy = self.policy
        features = policy.features_extractor(observation)
        hidden, cell = _step(policy.lstm_actor, features, hidden, cell)
        value_hidden, value_cell = _step(policy.lstm_critic, features, value_hidden, value_cell)
        logits = policy.action_net(policy.mlp_extractor.forward_actor(hidden))
        values = policy.value_net(policy.mlp_extractor.forward_critic(value_hidden))[:, 0]
        return logits.softmax(dim=1), values, hidden, cell, value_hidden, value_cell

    def reference(self, observation: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """The same outputs, computed by sb3-contrib."""
        hidden, cell, value_hidden, value_cell = (state[None] for state in states)
        no_starts = torch.zeros(len(observation))
        before = RNNStates((hidden, cell), (value_hidden, value_cell))
        _, values, _, after = self.policy(observation, before, no_starts)
        chosen, _ = self.policy.get_distribution(observation, (hidden, cell), no_starts)
        distribution: Any = chosen.distribution
        return (
            distribution.probs,
            values[:, 0],
            *(state[0] for state in (*after.pi, *after.vf)),
        )

    def start(self, observation: Tensor) -> tuple[Tensor, ...]:
        """The inputs at the first event of an episode."""
        zeros = torch.zeros(len(observation), self.policy.lstm_actor.hidden_size)
        return (observation, *(zeros.clone() for _ in self.inputs[1:]))


def _step(
    lstm: nn.LSTM | None, features: Tensor, hidden: Tensor, cell: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM with one layer; torch does not export loops over time well."""
    if lstm is None:
        raise TypeError("policy and value function need an LSTM each")
    return torch.lstm_cell(features, (hidden, cell), *lstm.all_weights[0])


def save_onnx(policy: ActorCriticPolicy, observations: Float32Array, out: Path) -> None:
    """Write a policy as an ONNX file and compare the outputs of both.

    Args:
        policy: The policy, on the CPU.
        observations: Observations for the comparison. A recurrent policy is compared at the second
            of two steps, where its state is no longer zero.  # (batch, width) float32
        out: The file.

    Raises:
        ExportError: If a library is missing, or the outputs differ; then nothing is written.
    """
    if isinstance(policy, RecurrentActorCriticPolicy):
        module: Outputs | RecurrentOutputs = RecurrentOutputs(policy)
    else:
        module = Outputs(policy)
    module.eval()
    batch = torch.from_numpy(observations)
    with atomic_path(out) as draft, torch.no_grad():
        states = module.reference(*module.start(batch))[2:]
        inputs = (batch, *states)
        _write(module, inputs, draft)
        for size in (1, len(batch)):
            _check(module, tuple(tensor[:size] for tensor in inputs), draft)


def _write(module: Outputs | RecurrentOutputs, inputs: tuple[Tensor, ...], path: Path) -> None:
    rows = {0: torch.export.Dim("batch")}
    with export_libraries():
        torch.onnx.export(
            module,
            inputs,
            path,
            input_names=module.inputs,
            output_names=module.outputs,
            dynamic_shapes=(rows,) * len(inputs),
            external_data=False,
            dynamo=True,
            verbose=False,
        )


def _check(module: Outputs | RecurrentOutputs, inputs: tuple[Tensor, ...], path: Path) -> None:
    session = onnx_session(path)
    feed = {name: tensor.numpy() for name, tensor in zip(module.inputs, inputs, strict=True)}
    pairs = zip(module.reference(*inputs), session.run(module.outputs, feed), strict=True)
    error = max(float((expected - torch.from_numpy(got)).abs().max()) for expected, got in pairs)
    if not error <= TOLERANCE:  # NaN too
        raise ExportError(
            f"the outputs of the ONNX file differ by {error:.2g} from those of the policy, more "
            f"than rounding ({TOLERANCE:g}); nothing is written. Use --format sb3"
        )


def onnx_session(path: Path) -> Any:
    """An onnxruntime session of a file, on the CPU.

    Raises:
        ExportError: If onnxruntime is missing.
    """
    with export_libraries():
        import onnxruntime

        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@contextmanager
def export_libraries() -> Iterator[None]:
    """Name the extra of a missing library, and silence torch's messages about its internals."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError as error:
        raise ExportError(
            f"{error}; install the extra: pip install 'marl-stl-env[export]'"
        ) from error
