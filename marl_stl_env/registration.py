"""The environment ids, for ``gymnasium.make`` and ``gymnasium.make_vec``.

In a child process that has not imported this package the ids are unknown to Gymnasium; there
``"marl_stl_env:marl_stl_env/Traffic-v0"`` imports it first.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

if TYPE_CHECKING:  # what an id makes is loaded when it is made
    from marl_stl_env.config import Dynamics
    from marl_stl_env.envs.adversarial.single import AdversarialEnv
    from marl_stl_env.envs.single import TrafficEnv

TRAFFIC_ID = "marl_stl_env/Traffic-v0"
RESPONSE_ID = "marl_stl_env/TrafficResponse-v0"
ADVERSARIAL_ID = "marl_stl_env/TrafficAdversarial-v0"
_DYNAMICS: dict[str, Dynamics] = {TRAFFIC_ID: "replay", RESPONSE_ID: "response"}


def register_environments() -> None:
    """Register the ids with Gymnasium; a second call changes nothing."""
    for name, dynamics in _DYNAMICS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="marl_stl_env.registration:made_env",
                vector_entry_point="marl_stl_env.envs.vector:TrafficVectorEnv",
                kwargs={"dynamics": dynamics},
            )
    if ADVERSARIAL_ID not in gymnasium.registry:
        gymnasium.register(
            id=ADVERSARIAL_ID, entry_point="marl_stl_env.registration:made_adversarial_env"
        )


class _MadeEnv:
    """What ``gymnasium.make`` calls: :class:`TrafficEnv` with the time limit that make was given.

    ``make_vec`` passes ``max_episode_steps`` to the vector environment. ``make`` keeps it for a
    wrapper, which can end an episode early but neither prolong it nor draw the start that leaves
    room for it: the same arguments would give other episodes. So the limit is read from make's own
    arguments.
    """

    @property
    def metadata(self) -> dict[str, Any]:
        """That of the environment, which ``make`` reads first."""
        from marl_stl_env.envs.single import TrafficEnv

        return TrafficEnv.metadata

    def __call__(self, **settings: Any) -> TrafficEnv:
        from marl_stl_env.envs.single import TrafficEnv

        return TrafficEnv(max_episode_steps=_limit_of_make(), **settings)


made_env = _MadeEnv()


class _MadeAdversarialEnv:
    """As :class:`_MadeEnv`, with attackers."""

    @property
    def metadata(self) -> dict[str, Any]:
        """That of the environment, which ``make`` reads first."""
        from marl_stl_env.envs.adversarial.single import AdversarialEnv

        return AdversarialEnv.metadata

    def __call__(self, **settings: Any) -> AdversarialEnv:
        from marl_stl_env.envs.adversarial.single import AdversarialEnv

        return AdversarialEnv(max_episode_steps=_limit_of_make(), **settings)


made_adversarial_env = _MadeAdversarialEnv()


def _limit_of_make() -> int | None:
    """``max_episode_steps`` of the innermost running ``gymnasium.make``, or of its spec."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not gymnasium.make.__code__:
        frame = frame.f_back
    if frame is None:
        return None
    limit: int | None = frame.f_locals["max_episode_steps"]
    made = frame.f_locals["id"]
    if limit is None and isinstance(made, EnvSpec):
        return made.max_episode_steps
    return limit
