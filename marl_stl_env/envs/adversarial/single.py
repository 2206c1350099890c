"""The Gymnasium view of one side, while a fixed policy plays the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gymnasium import spaces

from marl_stl_env.adversary.engine import AdversarialEngine, Attack
from marl_stl_env.adversary.policies import Choose, TeamMixture, find_attack, linear_team
from marl_stl_env.config import EnvConfig
from marl_stl_env.config.adversary import AdversaryConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.adversarial.attackers import (
    as_adversary,
    attacker_actions,
    attacker_infos,
    attacker_reset_infos,
    attacker_space,
    last_attack,
)
from marl_stl_env.envs.describe import describe
from marl_stl_env.envs.infos import Info
from marl_stl_env.envs.single import TrafficEnv, limited
from marl_stl_env.errors import ConfigError, UnknownNameError
from marl_stl_env.types import AnyArray, BoolArray, Float32Array

Side = Literal["defender", "attacker"]
_SIDES = ("defender", "attacker")


class AdversarialEnv(TrafficEnv):
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

    engine: AdversarialEngine

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
        self._attacks, self._attack = side == "attacker", find_attack(attack)
        if self._attacks and self.adversary.attackers != 1:
            raise ConfigError(
                f"attackers={self.adversary.attackers} with side='attacker': the Gymnasium "
                "environment has one; use marl_stl_env.adversarial_v0 for more"
            )
        super().__init__(
            config,
            table=table,
            render_mode=render_mode,
            max_episode_steps=max_episode_steps,
            **settings,
        )
        if self._attacks:
            self._team = TeamMixture([linear_team(self.engine) if team is None else team])

    @property
    def observation_layout(self) -> tuple[str, ...]:
        """The name of each column of an observation."""
        return self.engine.attack_layout if self._attacks else super().observation_layout

    def action_masks(self) -> BoolArray:
        """The actions that the shield allows, or that change anything for an attacker.

        Returns:
            False for masked actions.  # (actions,) bool
        """
        return self.engine.attack_mask[0, 0] if self._attacks else super().action_masks()

    def __repr__(self) -> str:
        """Class, data, what differs from the default, and Gymnasium's id where it has one."""
        name = None if self.spec is None else self.spec.id
        return describe(self, self.engine, side=self.side, id=name)

    def _configured(
        self, config: EnvConfig | None, settings: dict[str, Any], max_episode_steps: int | None
    ) -> EnvConfig:
        """The environment of one side; the analyst's is that of ``Traffic-v0``."""
        if self._attacks:
            return limited(config, settings, max_episode_steps)
        return super()._configured(config, settings, max_episode_steps)

    def _make_engine(self, table: TrafficTable | PreparedData | None) -> AdversarialEngine:
        return AdversarialEngine.make(self.config, self.adversary, 1, table=table)

    def _spaces(self) -> tuple[spaces.Box, spaces.Discrete]:
        if self._attacks:
            return attacker_space(self.engine), attacker_actions(self.engine)
        return super()._spaces()

    def _observation(self) -> Float32Array:
        if not self._attacks:
            return super()._observation()
        observation: Float32Array = self.engine.observe_attackers()[0, 0]
        return observation

    def _evaluate(self, action: AnyArray) -> tuple[StepRecord, float]:
        engine = self.engine
        if self._attacks:
            record = engine.step(self._team(engine), action)
            return record, float(last_attack(engine).rewards[0, 0])
        record = engine.step(action, self._attack(engine))
        return record, float(record.rewards[0, 0])

    def _reset_info(self) -> Info:
        return attacker_reset_infos(self.engine)[0] if self._attacks else super()._reset_info()

    def _step_info(self) -> Info:
        return attacker_infos(self.engine)[0] if self._attacks else super()._step_info()
