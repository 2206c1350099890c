"""All that a trainer remembers between two iterations, as plain arrays and numbers.

With it, and the policy's weights, a training continues bit-identically on the CPU: the optimiser's
moments, the scaling and shaping of the rewards, the multipliers of specifications, the open
episodes, the lanes of the environment, the memory of a policy, and the random number generators of
torch and numpy (SB3 shuffles its minibatches with numpy's global one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize, unwrap_vec_wrapper

from marl_stl_agents.algorithms.constraints import LagrangianPPO
from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.algorithms.shaping import SpecShaping
from marl_stl_env.envs.base import TeamVecEnv, team_env
from marl_stl_env.errors import MarlStlError, RunError
from marl_stl_env.types import AnyArray

_LANES, _OPTIMIZER, _MEMORY = "lanes.", "optimizer.", "memory."
_ADAM = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class TrainerState:
    """A trainer between two iterations.

    Attributes:
        arrays: Arrays by name.
        facts: Plain data: counters, episode statistics, the state of numpy's generator.
    """

    arrays: dict[str, AnyArray]
    facts: dict[str, Any]


def capture(model: OnPolicyAlgorithm) -> TrainerState:
    """What the trainer remembers now, between a learning step and the next rollout."""
    name, keys, *position = np.random.get_state(legacy=True)  # noqa: NPY002 - SB3 uses this one
    arrays: dict[str, AnyArray] = {
        "rng.torch": torch.get_rng_state().numpy(),
        "rng.numpy": np.asarray(keys),
    }
    arrays |= model.stream_state() if isinstance(model, DevicePPO) else _stream_state(model)
    if torch.cuda.is_available():
        arrays["rng.cuda"] = torch.cuda.get_rng_state().numpy()
    if isinstance(model, RecurrentPPO):
        arrays |= _memory(model)
    for number, moments in model.policy.optimizer.state_dict()["state"].items():
        for key, value in moments.items():
            arrays[f"{_OPTIMIZER}{number}.{key}"] = value.detach().cpu().numpy()
    facts = {
        "timesteps": model.num_timesteps,
        "updates": model._n_updates,
        "episodes": [_plain(episode) for episode in model.ep_info_buffer or ()],
        "numpy": [str(name), *(_number(value) for value in position)],
    }
    return TrainerState({key: array.copy() for key, array in arrays.items()}, facts)


def restore(model: OnPolicyAlgorithm, state: TrainerState) -> None:
    """Put a freshly built trainer where another one was; the weights are loaded elsewhere.

    Raises:
        RunError: If the state is that of another trainer.
    """
    try:
        _restore(model, state)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError, MarlStlError) as error:
        raise RunError(f"the checkpoint is not of this configuration: {error!r}") from error


def _restore(model: OnPolicyAlgorithm, state: TrainerState) -> None:
    arrays, facts = state.arrays, state.facts
    _check_facts(facts)
    _check_generators(arrays)
    model.set_logger(Logger(folder=None, output_formats=[]))  # else SB3 makes a folder for one
    model._setup_learn(0)  # makes what a first training makes, and resets the environment
    model.num_timesteps, model._n_updates = facts["timesteps"], facts["updates"]
    _check_stream(model, arrays)
    if isinstance(model, DevicePPO):
        model.set_stream_state(arrays)
    else:
        _set_stream_state(model, arrays)
    if isinstance(model, RecurrentPPO):
        _set_memory(model, _under(arrays, _MEMORY))
    _restore_optimizer(model.policy.optimizer, _under(arrays, _OPTIMIZER))
    if model.ep_info_buffer is not None:
        model.ep_info_buffer.extend(facts["episodes"])
    name, *position = facts["numpy"]
    np.random.set_state((name, arrays["rng.numpy"], *position))  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(arrays["rng.torch"].copy()))
    if "rng.cuda" in arrays and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.from_numpy(arrays["rng.cuda"].copy()))


def _stream_state(model: OnPolicyAlgorithm) -> dict[str, AnyArray]:
    """What the trainer knows of its lanes: their state, open episodes and scaling of rewards."""
    normalizer, monitor, shaping, lanes = _wrappers(model)
    arrays: dict[str, AnyArray] = {
        "model.last_obs": np.asarray(model._last_obs),
        "model.last_episode_starts": np.asarray(model._last_episode_starts),
        "normalizer.returns": normalizer.returns,
        "normalizer.moments": _moments(normalizer),
        "monitor.returns": monitor.episode_returns,
        "monitor.lengths": monitor.episode_lengths,
    }
    if shaping is not None:
        arrays["shaping.potentials"] = shaping.potentials
    if isinstance(model, LagrangianPPO):
        arrays |= model.multipliers.get_state()
    return arrays | {f"{_LANES}{key}": array for key, array in lanes.get_state().items()}


def _set_stream_state(model: OnPolicyAlgorithm, arrays: dict[str, AnyArray]) -> None:
    normalizer, monitor, shaping, lanes = _wrappers(model)
    model._last_obs = arrays["model.last_obs"].copy()
    model._last_episode_starts = arrays["model.last_episode_starts"].copy()
    normalizer.returns = arrays["normalizer.returns"].copy()
    mean, variance, count = arrays["normalizer.moments"]
    normalizer.ret_rms.mean, normalizer.ret_rms.var = np.asarray(mean), np.asarray(variance)
    normalizer.ret_rms.count = float(count)
    monitor.episode_returns = arrays["monitor.returns"].copy()
    monitor.episode_lengths = arrays["monitor.lengths"].copy()
    if shaping is not None:
        shaping.potentials = arrays["shaping.potentials"].copy()
    if isinstance(model, LagrangianPPO):
        model.multipliers.set_state(arrays)
    lanes.set_state(_under(arrays, _LANES))


def _check_facts(facts: dict[str, Any]) -> None:
    """Refuse counters and a state of numpy's generator that no trainer could have written.

    numpy itself does not look at the position, and reads outside its memory.

    Raises:
        KeyError: If something is missing.
        ValueError: If a value cannot be.
    """
    kind, position, has_gauss, cached = facts["numpy"]
    numbers = {
        "timesteps": (facts["timesteps"], 0, 2**53),
        "updates": (facts["updates"], 0, 2**53),
        "numpy's position": (position, 0, 624),
        "numpy's flag": (has_gauss, 0, 1),
    }
    for name, (value, low, high) in numbers.items():
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{name} is {str(value)[:40]!r}, not a number in [{low}, {high}]")
    if kind != "MT19937" or not _is_number(cached):
        raise ValueError("the state of numpy's generator is not one of MT19937")
    for episode in facts["episodes"]:
        if not all(_is_number(value) for value in episode.values()):
            raise ValueError("the statistics of an episode are no numbers")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and bool(abs(value) < 1e300)


def _check_generators(arrays: dict[str, AnyArray]) -> None:
    """Refuse states of random number generators that have another form.

    Raises:
        KeyError: If one is missing.
        ValueError: If one is of another form.
    """
    _check_alike("rng.numpy", arrays["rng.numpy"], np.zeros(624, np.uint32))
    _check_alike("rng.torch", arrays["rng.torch"], torch.get_rng_state().numpy())
    if "rng.cuda" in arrays and torch.cuda.is_available():
        _check_alike("rng.cuda", arrays["rng.cuda"], torch.cuda.get_rng_state().numpy())


def _check_stream(model: OnPolicyAlgorithm, arrays: dict[str, AnyArray]) -> None:
    """Refuse what a trainer cannot know of its lanes; the environment checks its own part.

    Raises:
        KeyError: If something is missing.
        ValueError: If something has another form, or cannot be.
    """
    known = model.stream_state() if isinstance(model, DevicePPO) else _stream_state(model)
    for name, now in known.items():
        if not name.startswith(_LANES):
            _check_alike(name, arrays[name], now)
    _, variance, count = arrays["normalizer.moments"]
    if variance < 0.0 or count <= 0.0:
        raise ValueError(f"rewards with a variance of {variance} from {count} steps")
    for name in ("monitor.lengths", "lagrangian.multipliers"):
        if name in arrays and (arrays[name] < 0).any():
            raise ValueError(f"{name} is below 0")


def _memory(model: RecurrentPPO) -> dict[str, AnyArray]:
    """Hidden and cell states of policy and value function.  # (layers, n_envs, units) float32."""
    states = cast("RNNStates", model._last_lstm_states)
    tensors = enumerate((*states.pi, *states.vf))
    return {f"{_MEMORY}{number}": tensor.cpu().numpy() for number, tensor in tensors}


def _set_memory(model: RecurrentPPO, arrays: dict[str, AnyArray]) -> None:
    now = _memory(model)
    for i, old in enumerate(now.values()):
        _check_alike(f"{_MEMORY}{i}", arrays[str(i)], old)
    hidden, cell, value_hidden, value_cell = (
        torch.from_numpy(arrays[str(i)].copy()).to(model.device) for i in range(len(now))
    )
    memory = RNNStates((hidden, cell), (value_hidden, value_cell))
    model._last_lstm_states = cast("Any", memory)


def _restore_optimizer(optimizer: torch.optim.Optimizer, arrays: dict[str, AnyArray]) -> None:
    content = optimizer.state_dict()
    parameters = content["param_groups"][0]["params"]
    wanted = {f"{number}.{key}" for number in parameters for key in _ADAM}
    if arrays.keys() != wanted:
        raise KeyError(f"optimiser moments {sorted(arrays.keys() ^ wanted)}")
    weights = optimizer.param_groups[0]["params"]
    content["state"] = {}
    for name, array in arrays.items():
        number, key = name.split(".", 1)
        shape = () if key == "step" else tuple(weights[int(number)].shape)
        _check_alike(f"{_OPTIMIZER}{name}", array, np.zeros(shape, np.float32))
        if key != "exp_avg" and (array < 0).any():
            raise ValueError(f"{_OPTIMIZER}{name} is below 0")
        content["state"].setdefault(int(number), {})[key] = torch.from_numpy(array.copy())
    optimizer.load_state_dict(content)


def _wrappers(
    model: OnPolicyAlgorithm,
) -> tuple[VecNormalize, VecMonitor, SpecShaping | None, TeamVecEnv]:
    normalizer = model.get_vec_normalize_env()
    monitor = unwrap_vec_wrapper(normalizer, VecMonitor) if normalizer is not None else None
    if normalizer is None or monitor is None:
        raise TypeError("a trainer's environment is inside VecMonitor and VecNormalize")
    return normalizer, monitor, unwrap_vec_wrapper(normalizer, SpecShaping), team_env(normalizer)


def _check_alike(name: str, array: AnyArray, now: AnyArray) -> None:
    """Refuse what the trainer could not have written.

    Raises:
        ValueError: If shape or type differ, or a number is not finite.
    """
    if array.shape != now.shape or array.dtype != now.dtype:
        raise ValueError(f"{name} is {array.shape} {array.dtype}, not {now.shape} {now.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} is not finite")


def _moments(normalizer: VecNormalize) -> AnyArray:
    running = normalizer.ret_rms
    return np.array([running.mean, running.var, running.count], dtype=np.float64)


def _under(arrays: dict[str, AnyArray], prefix: str) -> dict[str, AnyArray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _number(value: Any) -> int | float:
    return float(value) if isinstance(value, float) else int(value)


def _plain(episode: dict[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in episode.items()}
