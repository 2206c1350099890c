"""The policy of a checkpoint, checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from safetensors import SafetensorError
from safetensors.numpy import load_file
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_agents.checkpoints.store import FACTS, WEIGHTS, Checkpoint
from marl_stl_agents.policies.architecture import Architecture, architecture_of
from marl_stl_agents.policies.build import blank_blueprint
from marl_stl_agents.run_directory import read_json
from marl_stl_env.errors import ConfigError, RunError
from marl_stl_env.types import AnyArray
from marl_stl_env.validation import from_plain


def read_architecture(checkpoint: Checkpoint) -> Architecture:
    """The architecture that a checkpoint states.

    Raises:
        RunError: If it states none, as those of older versions, or an impossible one.
    """
    path = checkpoint.path / FACTS
    stated = read_json(path)
    if not isinstance(stated, dict) or "architecture" not in stated:
        raise RunError(
            f"{path} does not state the architecture of its policy: it was written by an older "
            "version; train the run anew with this one (marl-stl-train --restart RUN)"
        )
    try:
        return from_plain(Architecture, stated["architecture"])
    except (TypeError, ConfigError) as error:
        raise RunError(
            f"{path} states no possible architecture: {error}; if a newer version wrote it, update "
            "marl-stl-env; else train the run anew: marl-stl-train --restart RUN"
        ) from None


def saved_policy(
    checkpoint: Checkpoint, observation_space: spaces.Box, device: torch.device
) -> ActorCriticPolicy:
    """A checkpoint's policy, without the data that it was trained on.

    Args:
        checkpoint: The checkpoint.
        observation_space: The space of one sensor's observation.  # (width,)
        device: Where the policy shall live.

    Raises:
        RunError: If the checkpoint is damaged, or its policy is for other observations.
    """
    architecture = read_architecture(checkpoint)
    width = observation_space.shape[0]
    if width != architecture.observation_width:
        raise RunError(
            f"{checkpoint.path} holds a policy for observations of "
            f"{architecture.observation_width} columns, not {width}: the environment or its data "
            "is another one than in training"
        )
    path = checkpoint.path / WEIGHTS
    least, size = least_bytes(architecture), path.stat().st_size if path.is_file() else 0
    if least > size:
        raise RunError(
            f"{path} has {size:,} bytes, and a policy of the stated "
            f"architecture takes more than {least:,}: the checkpoint is damaged"
        )
    policy = blank_blueprint(architecture).build(
        observation_space, torch.device("cpu"), learns=False
    )
    load_weights(checkpoint, policy)
    return policy.to(device)


def least_bytes(architecture: Architecture) -> int:
    """A lower bound of the size of a policy's weights.

    It keeps a damaged checkpoint from having a policy built that no memory can hold.
    """
    one, codes = architecture, sum(architecture.bins)
    networks = 1 if one.shared_trunk else 2 * max(one.agents, 1)
    weights = networks * max(one.depth - 1, 0) * one.hidden_width * one.hidden_width
    return 4 * (weights + codes)


def load_weights(checkpoint: Checkpoint, policy: ActorCriticPolicy) -> None:
    """Load a checkpoint's weights into a policy of the same architecture, wherever it lives.

    Raises:
        RunError: If the architecture differs or the file is damaged: names, shapes, types, numbers
            that are not finite, columns that do not exist.
    """
    path = checkpoint.path / WEIGHTS
    stated, wanted = read_architecture(checkpoint), architecture_of(policy)
    if difference := stated.differences(wanted):
        raise RunError(f"{path} does not hold this policy's weights: {difference}")
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} does not hold this policy's weights: {error}") from None
    problems = _problems(arrays, policy.state_dict(), stated)
    if problems:
        raise RunError(f"{path} does not hold this policy's weights: {'; '.join(problems[:3])}")
    policy.load_state_dict(
        {name: torch.from_numpy(array) for name, array in arrays.items()}, strict=False
    )


def _problems(
    arrays: Mapping[str, AnyArray], state: Mapping[str, torch.Tensor], architecture: Architecture
) -> list[str]:
    """What keeps arrays from being the state of a policy."""
    problems = []
    for name, array in arrays.items():
        if name not in state:
            problems.append(f"{name} is unknown")
            continue
        kind = _numpy_type(state[name])
        if array.shape != tuple(state[name].shape) or array.dtype != kind:
            problems.append(
                f"{name} is {array.shape} {array.dtype}, not {tuple(state[name].shape)} {kind}"
            )
        elif not np.isfinite(array).all():
            problems.append(f"{name} is not finite")
        elif (
            name.endswith("features_extractor.columns")
            and not ((array >= 0) & (array < architecture.observation_width)).all()
        ):
            problems.append(f"{name} names columns outside the observation")
    # A part that several parts of the policy share stands in the file once, under one name.
    given = {_storage(state[name]) for name in arrays if name in state}
    missing = [name for name, tensor in state.items() if _storage(tensor) not in given]
    return problems + [f"{name} is missing" for name in missing]


def _numpy_type(tensor: torch.Tensor) -> Any:
    return torch.empty(0, dtype=tensor.dtype).numpy().dtype


def _storage(tensor: torch.Tensor) -> tuple[int, tuple[int, ...]]:
    return tensor.data_ptr(), tuple(tensor.shape)
