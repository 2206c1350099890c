"""The PettingZoo view of one lane in which the attackers are agents too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from marl_stl_env.adversary.engine import AdversarialEngine
from marl_stl_env.config import EnvConfig, make_config
from marl_stl_env.config.adversary import AdversaryConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.state import StepRecord
from marl_stl_env.envs.adversarial.attackers import (
    NAME,
    as_adversary,
    attacker_actions,
    attacker_infos,
    attacker_reset_infos,
    attacker_space,
    last_attack,
)
from marl_stl_env.envs.infos import Info
from marl_stl_env.envs.parallel import TrafficParallelEnv
from marl_stl_env.errors import InvalidActionError
from marl_stl_env.types import AnyArray, Float32Array, as_integers


class AdversarialParallelEnv(TrafficParallelEnv):
    """A team of sensors, and attackers that disguise the events to come; all act at once.

    The sensors are those of :class:`TrafficParallelEnv`. Attacker j sees the features of the event
    to come where it is its own, and answers with how it is sent: 0 as it is, 1 to K in a disguise,
    K + 1 later. :class:`~marl_stl_env.adversary.engine.AdversarialEngine` has the rules.

    Args:
        config: The environment.
        adversary: The attackers.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.
        render_mode: "ansi", "rgb_array", "human" or None.

    Attributes:
        adversary: The attackers.
    """

    engine: AdversarialEngine

    def __init__(
        self,
        config: EnvConfig | None = None,
        *,
        adversary: AdversaryConfig | Mapping[str, Any] | None = None,
        table: TrafficTable | PreparedData | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.adversary = as_adversary(adversary)
        super().__init__(config, table=table, render_mode=render_mode)
        self.metadata = {**self.metadata, "name": NAME}
        self._sensors = list(self.possible_agents)
        attackers = [f"attacker_{j}" for j in range(self.adversary.attackers)]
        self.possible_agents = [*self._sensors, *attackers]
        self.agents = list(self.possible_agents)
        self.observation_spaces |= {agent: attacker_space(self.engine) for agent in attackers}
        self.action_spaces |= {agent: attacker_actions(self.engine) for agent in attackers}

    @property
    def attack_layout(self) -> tuple[str, ...]:
        """The name of each column of an attacker's observation."""
        return self.engine.attack_layout

    def checked_action(self, agent: str, action: Any) -> None:
        """Refuse what is no action of this agent.

        Raises:
            InvalidActionError: If it is none.
        """
        if agent in self._sensors:
            super().checked_action(agent, action)
            return
        most = self.engine.attack_actions
        if not 0 <= int(as_integers(action, ())) < most:
            raise InvalidActionError(f"an attacker's action is 0 to {most - 1}, not {action!r:.80}")

    def _make_engine(self, table: TrafficTable | PreparedData | None) -> AdversarialEngine:
        return AdversarialEngine.make(self.config, self.adversary, 1, table=table)

    def _evaluate(self, chosen: AnyArray) -> StepRecord:
        sensors = len(self._sensors)
        return self.engine.step(chosen[None, :sensors], chosen[None, sensors:])

    def _rewards(self, record: StepRecord) -> list[float]:
        return [*super()._rewards(record), *last_attack(self.engine).rewards[0].tolist()]

    def _reset_infos(self) -> dict[str, Info]:
        found = super()._reset_infos()
        attackers = self.possible_agents[len(self._sensors) :]
        return found | dict(zip(attackers, attacker_reset_infos(self.engine), strict=True))

    def _step_infos(self) -> Iterable[Info]:
        return [*super()._step_infos(), *attacker_infos(self.engine)]

    def _observations(self) -> dict[str, Float32Array]:
        seen: list[Float32Array] = [*self.engine.observe()[0], *self.engine.observe_attackers()[0]]
        return dict(zip(self.possible_agents, seen, strict=True))


def adversarial_parallel_env(
    config: EnvConfig | None = None,
    *,
    adversary: AdversaryConfig | Mapping[str, Any] | None = None,
    table: TrafficTable | PreparedData | None = None,
    render_mode: str | None = None,
    **settings: Any,
) -> AdversarialParallelEnv:
    """The PettingZoo parallel environment with attackers.

    Args:
        config: The environment; None is the default one.
        adversary: The attackers: a configuration, or a mapping of its fields.
        table: Prepared data, or a raw table, in place of what ``config.data`` names.
        render_mode: "ansi", "rgb_array", "human" or None.
        **settings: Fields of :class:`~marl_stl_env.config.EnvConfig` to replace.

    Raises:
        ConfigError: If a setting is not valid, or nothing is known of what may be disguised.
        DataError: If the data cannot be read, split or scaled.
    """
    return AdversarialParallelEnv(
        make_config(config, settings), adversary=adversary, table=table, render_mode=render_mode
    )
