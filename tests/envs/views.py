"""Every view of the engine behind one small interface, for tests that hold for all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

import marl_stl_env as mse
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.envs.supersuit import supersuit_vec_env
from marl_stl_env.envs.vector import TrafficVectorEnv
from tests.conftest import make_table, with_entities

TABLE = with_entities(make_table(), 30)
LANES = 3
AGENTS = 4
TEAM = mse.EnvConfig(agents=AGENTS, episode_length=5)


@dataclass(frozen=True)
class View:
    """A view with its own ways to begin, to step and to look.

    Attributes:
        make: Builds it.  # (render_mode)
        reset: Begins an episode with a seed and gives all that is returned.
        step: Steps with one action for each of ``actions`` and gives all that is returned.
        actions: Number of actions a step takes.
        pack: The actions as the view takes them.
    """

    make: Callable[..., Any]
    reset: Callable[[Any, int], Any]
    step: Callable[[Any, Any], Any]
    actions: int
    pack: Callable[[list[Any]], Any]


def _named(actions: list[Any]) -> dict[str, Any]:
    return {f"sensor_{i}": action for i, action in enumerate(actions)}


def _parallel_step(env: Any, actions: Any) -> Any:
    if not env.agents:
        return env.reset()
    return env.step(actions), env.state(), env.get_state()


def _aec_step(env: Any, actions: Any) -> Any:
    """One turn of every sensor, or a reset where the episode is over."""
    if not env.agents or env.truncations[env.agent_selection]:
        env.reset()
        return [env.observe(agent) for agent in env.agents]
    seen = []
    for action in actions:
        seen.append(env.last())
        env.step(action)
    return seen, env.state()


def _aec_reset(env: Any, seed: int) -> Any:
    env.reset(seed=seed)
    return env.last(), env.state()


def _single_step(env: Any, action: Any) -> Any:
    step = env.step(action)
    return (step, env.reset()) if step[3] else step


def _vec_reset(venv: Any, seed: int) -> Any:
    venv.seed(seed)
    return venv.reset(), venv.reset_infos


def _vec_step(venv: Any, actions: Any) -> Any:
    return venv.step(actions), venv.last_step, venv.get_state()


def _single(name: str) -> View:
    return View(
        make=lambda **more: gymnasium.make(
            f"marl_stl_env/{name}", table=TABLE, episode_length=5, **more
        ),
        reset=lambda env, seed: env.reset(seed=seed),
        step=_single_step,
        actions=1,
        pack=lambda actions: actions[0],
    )


def _vector(mode: str) -> View:
    return View(
        make=lambda **more: TrafficVectorEnv(
            LANES, table=TABLE, episode_length=5, autoreset_mode=mode, **more
        ),
        reset=lambda env, seed: env.reset(seed=seed),
        step=lambda env, actions: env.step(actions),
        actions=LANES,
        pack=np.array,
    )


def team_views(config: mse.EnvConfig) -> dict[str, View]:
    """The views of a team with this configuration."""
    return {
        "parallel": View(
            lambda **more: mse.parallel_env(config, table=TABLE, **more),
            lambda env, seed: env.reset(seed=seed),
            _parallel_step,
            config.agents,
            _named,
        ),
        "aec": View(
            lambda **more: mse.aec_env(config, table=TABLE, **more),
            _aec_reset,
            _aec_step,
            config.agents,
            list,
        ),
        "sb3": View(
            lambda **more: TrafficVecEnv(config, LANES, 0, TABLE, **more),
            _vec_reset,
            _vec_step,
            LANES * config.agents,
            np.array,
        ),
        "supersuit": View(
            lambda **more: supersuit_vec_env(config, LANES, 0, TABLE, **more),
            _vec_reset,
            _vec_step,
            LANES * config.agents,
            np.array,
        ),
    }


VIEWS = {
    **team_views(TEAM),
    "single": _single("Traffic-v0"),
    "single response": _single("TrafficResponse-v0"),
    "vector next step": _vector("NextStep"),
    "vector same step": _vector("SameStep"),
}
