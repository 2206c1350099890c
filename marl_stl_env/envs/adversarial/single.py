"""The Gymnasium view of one side, while a fixed policy plays the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import gymnasium
import numpy as np

from marl_stl_env.adversary.engine import AdversarialEngine, Attack
from marl_stl_env.adversary.policies import Choose, TeamMixture, find_attack, linear_team
from marl_stl_env.config import EnvConfig, make_config
from marl_stl_env.config.adversary import AdversaryConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.envs.adversarial.attackers import (
    as_adversary,
    attacker_actions,
    attacker_infos,
    attacker_reset_infos,
    attacker_space,
    last_attack,
)
from marl_stl_env.envs.describe import describe
from marl_stl_env.envs.infos import Info, reset_info, step_infos
from marl_stl_env.envs.single import analyst_config
from marl_stl_env.envs.spaces import action_space, observation_space
from marl_stl_env.envs.spec import HasPlainSpec
from marl_stl_env.errors import ConfigError, ResetNeededError, UnknownNameError
from marl_stl_env.rendering import RENDER_FPS, RENDER_MODES, Renderer
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, as_integers

Side = Literal["defender", "attacker"]
_SIDES = ("defender", "attacker")


class AdversarialEnv(HasPlainSpec, gymnasium.Env[AnyArray, np.int64]):
    """One analyst against a fixed attacker, or one attacker against a fixed team.

    ## Action space
    ``side="defender"``: ``Discrete(4)``, as in ``Traffic-v0``. ``side="attacker"``:
    ``Discrete(K + 2)``: 0 sends the event to come as it is, 1 to K in a disguise, K + 1 later.

    ## Observation space
    ``side="defender"``: that of ``Traffic-v0``. ``side="attacker"``: the features of the event to
    come where it is an attack, else 0; ``attack_layout`` of the engine names the columns.

    ## Rewards
    Those of ``Traffic-v0`` for the defender. The attacker earns minus that, less what disguise and
    waiting cost.

    ## Episode end
    Never a termination; truncation after ``episode_length`` events.

    Args:
        config: The environment. As defender, ``agents`` and ``views`` are fixed.
        side: Who learns.
        attack: The fixed attacker of a defender: "none", "random", or a policy of the engine.
        team: The fixed team of an attacker: the policy of every sensor; None takes
            :func:`~marl_stl_env.adversary.policies.linear_team`.
        adversary: The attackers; an attacker that learns is alone.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.
        render_mode: "ansi", "rgb_array", "human" or None.
        max_episode_steps: Replaces ``episode_length``; None and -1 leave it.
        **settings: Fields of :class:`~marl_stl_env.config.EnvConfig` to replace.

    ## Version history
    * v0: first version.
    """

    metadata = {"render_modes": [*RENDER_MODES], "render_fps": RENDER_FPS}  # noqa: RUF012

    def __init__(
        self,
        config: EnvConfig | None = None,
        *,
        side: Side = "defender",
        attack: str | Attack = "random",
        team: Choose | None = None,
        adversary: AdversaryConfig | Mapping[str, Any] | None = None,
        table: TrafficTable | PreparedData | None = None,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        if side not in _SIDES:
            raise UnknownNameError("side", side, _SIDES)
        self.side, self.adversary = side, as_adversary(adversary)
        self.config = _config(side, config, settings, max_episode_steps)
        if side == "attacker" and self.adversary.attackers != 1:
            raise ConfigError(
                f"attackers={self.adversary.attackers} with side='attacker': the Gymnasium "
                "environment has one; use marl_stl_env.adversarial_v0 for more"
            )
        self.render_mode = render_mode
        self.engine = AdversarialEngine.make(self.config, self.adversary, 1, table=table)
        self._renderer = Renderer(self.engine, render_mode) if render_mode is not None else None
        self._running = False
        if side == "defender":
            self._attack = find_attack(attack)
            self.observation_space = observation_space(self.engine)
            self.action_space = action_space()
        else:
            self._team = TeamMixture([linear_team(self.engine) if team is None else team])
            self.observation_space = attacker_space(self.engine)
            self.action_space = attacker_actions(self.engine)

    @property
    def observation_layout(self) -> tuple[str, ...]:
        """The name of each column of an observation."""
        engine = self.engine
        return engine.observations.layout if self.side == "defender" else engine.attack_layout

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, Info]:
        """Begin an episode.

        Args:
            seed: Starts the random stream anew; None goes on with it.
            options: Not used.

        Returns:
            Observation (width,) float32 and info.

        Raises:
            ConfigError: If the seed is not a non-negative integer.
        """
        if seed is not None:
            self.engine.seed(seed)
            seed = int(seed)
        super().reset(seed=seed, options=options)
        self.engine.reset()
        self._running = True
        if self._renderer is not None:
            self._renderer.reset()
        if self.side == "defender":
            return self._observation(), reset_info(self.engine)
        return self._observation(), attacker_reset_infos(self.engine)[0]

    def step(self, action: np.int64) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Evaluate the current event, and prepare the next.

        Args:
            action: An action of the side that learns.

        Returns:
            Observation (width,) float32, reward (float), termination (always False), truncation
            (bool) and info: that of :mod:`marl_stl_env.envs.infos`, or the attacker's.

        Raises:
            ResetNeededError: If no episode is running.
            InvalidActionError: If the action is not one.
        """
        if not self._running:
            raise ResetNeededError("no episode is running; call reset() before step()")
        chosen, engine = as_integers(action, ()).reshape(1, 1), self.engine
        if self.side == "defender":
            record = engine.step(chosen, self._attack(engine))
            reward, info = float(record.rewards[0, 0]), next(step_infos(engine, 0))
        else:
            record = engine.step(self._team(engine), chosen)
            reward, info = float(last_attack(engine).rewards[0, 0]), attacker_infos(engine)[0]
        if self._renderer is not None:
            self._renderer.step()
        over = bool(record.truncated[0])
        self._running = not over
        return self._observation(), reward, False, over, info

    def action_masks(self) -> BoolArray:
        """The actions that the shield allows, or that change anything for an attacker.

        Returns:
            False for masked actions.  # (actions,) bool
        """
        engine = self.engine
        defends = self.side == "defender"
        mask: BoolArray = engine.action_mask[0] if defends else engine.attack_mask[0, 0]
        return mask.copy()

    def __repr__(self) -> str:
        """Class, data, what differs from the default, and Gymnasium's id where it has one."""
        name = None if self.spec is None else self.spec.id
        return describe(self, self.engine, side=self.side, id=name)

    def render(self) -> Any:
        """What the render mode shows; see :class:`~marl_stl_env.rendering.Renderer`."""
        return None if self._renderer is None else self._renderer.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._renderer is not None:
            self._renderer.close()

    def _observation(self) -> Float32Array:
        engine = self.engine
        seen = engine.observe() if self.side == "defender" else engine.observe_attackers()
        observation: Float32Array = seen[0, 0]
        return observation


def _config(
    side: Side, config: EnvConfig | None, settings: dict[str, Any], limit: int | None
) -> EnvConfig:
    """The environment of one side; the analyst's is that of ``Traffic-v0``."""
    if side == "defender":
        return analyst_config(config, settings, limit)
    if limit is not None and limit != -1:
        settings = {**settings, "episode_length": limit}
    return make_config(config, settings)
