"""The Stable-Baselines3 views: sensors against fixed attackers, attackers against a team."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from marl_stl_env.adversary.engine import AdversarialEngine, Attack
from marl_stl_env.adversary.policies import Team, find_attack
from marl_stl_env.config import EnvConfig, make_config
from marl_stl_env.config.adversary import AdversaryConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.adversarial.attackers import (
    as_adversary,
    attacker_actions,
    attacker_infos,
    attacker_space,
    last_attack,
)
from marl_stl_env.envs.base import SharedAttributes
from marl_stl_env.envs.describe import describe
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.errors import ResetNeededError
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, as_integers
from marl_stl_env.validation import check_count


class AttackedVecEnv(TrafficVecEnv):
    """The sensors of all lanes against fixed attackers; else as :class:`TrafficVecEnv`.

    Args:
        config: The environment; None is the default one.
        lanes: Independent copies of the stream.
        seed: Seed of lane 0; None draws from the system.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.
        render_mode: "rgb_array" or None.
        copy: As for :class:`TrafficVecEnv`.
        adversary: The attackers.
        attack: Their policy: "none", "random", or one of :mod:`marl_stl_env.adversary.policies`.
    """

    engine: AdversarialEngine

    def __init__(
        self,
        config: EnvConfig | None = None,
        lanes: int = 256,
        seed: int | None = None,
        table: TrafficTable | PreparedData | None = None,
        render_mode: str | None = None,
        *,
        copy: bool = True,
        adversary: AdversaryConfig | Mapping[str, Any] | None = None,
        attack: str | Attack = "random",
    ) -> None:
        self.adversary, self.attack = as_adversary(adversary), find_attack(attack)
        super().__init__(config, lanes, seed, table, render_mode, copy=copy)

    def _make_engine(
        self, lanes: int, seed: int | None, table: TrafficTable | PreparedData | None
    ) -> AdversarialEngine:
        return AdversarialEngine.make(self.config, self.adversary, lanes, seed, table)

    def _evaluate(self, actions: AnyArray) -> StepRecord:
        return self.engine.step(actions, self.attack(self.engine))


class AttackerVecEnv(SharedAttributes):
    """The attackers of all lanes against a fixed team: ``lane * attackers + attacker``.

    Infos are empty until an episode's last step, which carries the attacker's facts,
    ``terminal_observation`` and ``TimeLimit.truncated``.

    Args:
        team: The team's policy, of :mod:`marl_stl_env.adversary.policies`.
        config: The environment; None is the default one.
        lanes: Independent copies of the stream.
        seed: Seed of lane 0; None draws from the system.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.
        adversary: The attackers.
        attacks_only: Replay attacks alone, so that every step is an attacker's to decide.

    Attributes:
        engine: The engine behind this view.
        team: The team's policy.
        lanes: Independent copies of the stream.
    """

    def __init__(
        self,
        team: Team,
        config: EnvConfig | None = None,
        lanes: int = 256,
        seed: int | None = None,
        table: TrafficTable | PreparedData | None = None,
        *,
        adversary: AdversaryConfig | Mapping[str, Any] | None = None,
        attacks_only: bool = False,
    ) -> None:
        check_count("lanes", lanes, 2**24)
        self.config, self.adversary = make_config(config, {}), as_adversary(adversary)
        self.lanes, self.team, self.render_mode = lanes, team, None
        self.engine = AdversarialEngine.make(
            self.config, self.adversary, lanes, seed, table, attacks_only
        )
        self._actions: AnyArray | None = None
        attackers = self.adversary.attackers
        super().__init__(
            lanes * attackers, attacker_space(self.engine), attacker_actions(self.engine)
        )

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Give lane i the seed ``seed + i``, used from the next reset on."""
        self.engine.seed(seed)
        lanes = self.engine.get_state()["seeds"]
        return [int(lane) for lane in np.repeat(lanes, self.adversary.attackers)]

    def reset(self) -> VecEnvObs:
        """Begin an episode in every lane.

        Returns:
            Observations.  # (lanes * attackers, width) float32
        """
        self.engine.reset()
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        return self._observations()

    def step_async(self, actions: AnyArray) -> None:
        """Take the actions for the next :meth:`step_wait`.

        Args:
            actions: Action of each attacker.  # (lanes * attackers,) integer

        Raises:
            InvalidActionError: If the actions have the wrong shape or type.
        """
        self._actions = as_integers(actions, (self.num_envs,)).reshape(self.lanes, -1)

    def step_wait(self) -> VecEnvStepReturn:
        """Evaluate the current event of every lane, and prepare the next.

        Returns:
            Observations (lanes * attackers, width) float32, rewards (lanes * attackers,) float32,
            dones (lanes * attackers,) bool and a list of infos.

        Raises:
            ResetNeededError: If no actions were given, or before the first reset.
            InvalidActionError: If one of the actions is none.
        """
        if self._actions is None:
            raise ResetNeededError("step_wait() needs the actions of step_async() first")
        record = self.engine.step(self.team(self.engine), self._actions)
        self._actions = None
        rewards = last_attack(self.engine).rewards.flatten()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if record.truncated.any():
            self._end_episodes(record.truncated, infos)
        dones = np.repeat(record.truncated, self.adversary.attackers)
        return self._observations(), rewards, dones, infos

    def action_masks(self) -> BoolArray:
        """The actions that change anything, as sb3-contrib asks for them.

        # (lanes * attackers, K + 2) bool
        """
        return self.engine.attack_mask.reshape(self.num_envs, -1)

    def get_state(self) -> dict[str, AnyArray]:
        """All that is needed to continue bit-identically: plain arrays over the lanes."""
        return self.engine.get_state()

    def set_state(self, arrays: dict[str, AnyArray]) -> None:
        """Go back to a state that :meth:`get_state` gave.

        Raises:
            StateError: If the arrays do not fit this environment.
        """
        self.engine.set_state(arrays)
        self._actions = None

    def close(self) -> None:
        """Nothing is held open."""

    def __repr__(self) -> str:
        """Class, data, lanes, sensors, and what differs from the default."""
        attackers = self.adversary.attackers
        return describe(self, self.engine, lanes=self.lanes, attackers=attackers)

    def _end_episodes(self, over: BoolArray, infos: list[dict[str, Any]]) -> None:
        last, attackers = self.engine.observe_attackers(), self.adversary.attackers
        for lane in np.flatnonzero(over).tolist():
            for attacker, facts in enumerate(attacker_infos(self.engine, lane)):
                infos[lane * attackers + attacker] = {
                    **facts,
                    "terminal_observation": last[lane, attacker],
                    "TimeLimit.truncated": True,
                }
        self.engine.reset(over)

    def _observations(self) -> Float32Array:
        return self.engine.observe_attackers().reshape(self.num_envs, -1)
