"""The Stable-Baselines3 views: sensors against fixed attackers, attackers against a team."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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
from marl_stl_env.envs.describe import describe
from marl_stl_env.envs.infos import Info
from marl_stl_env.envs.sb3 import LanesVecEnv, TrafficVecEnv
from marl_stl_env.types import AnyArray, BoolArray, Float32Array
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


class AttackerVecEnv(LanesVecEnv):
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
        agents: Attackers of a lane.
    """

    engine: AdversarialEngine

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
        self.agents = self.adversary.attackers
        super().__init__(
            lanes * self.agents, attacker_space(self.engine), attacker_actions(self.engine)
        )

    def action_masks(self) -> BoolArray:
        """The actions that change anything, as sb3-contrib asks for them.

        # (lanes * attackers, K + 2) bool
        """
        return self.engine.attack_mask.reshape(self.num_envs, -1)

    def __repr__(self) -> str:
        """Class, data, lanes, sensors, and what differs from the default."""
        return describe(self, self.engine, lanes=self.lanes, attackers=self.agents)

    def _evaluate(self, actions: AnyArray) -> StepRecord:
        return self.engine.step(self.team(self.engine), actions)

    def _rewards(self, record: StepRecord) -> Float32Array:
        del record  # it has those of the team
        return last_attack(self.engine).rewards.flatten()

    def _facts(self, lane: int) -> Iterable[Info]:
        return attacker_infos(self.engine, lane)

    def _seen(self) -> Float32Array:
        return self.engine.observe_attackers()
