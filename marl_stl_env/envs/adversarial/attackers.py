"""What every view shows of the attackers: spaces, infos, names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_stl_env.adversary.engine import AdversarialEngine
from marl_stl_env.adversary.state import AttackRecord
from marl_stl_env.config.adversary import AdversaryConfig
from marl_stl_env.engine.observation import FEATURE_LIMIT
from marl_stl_env.envs.infos import Info, last_record
from marl_stl_env.errors import ConfigError, ResetNeededError
from marl_stl_env.validation import from_plain

#: The name of the environment by PettingZoo's convention.
NAME = "adversarial_v0"
#: The facts in every attacker's info. Before its first event of an episode all are -1.
ATTACKER_KEYS = ("own_event", "disguise", "passed", "waited")


def attacker_space(engine: AdversarialEngine) -> spaces.Box:
    """The space of one attacker's observation.  # (width,) float32."""
    features, width = len(engine.table.feature_names), len(engine.attack_layout)
    low = np.zeros(width, np.float32)
    high = np.ones(width, np.float32)
    low[:features], high[:features] = -FEATURE_LIMIT, FEATURE_LIMIT
    return spaces.Box(low, high, dtype=np.float32)


def attacker_actions(engine: AdversarialEngine) -> spaces.Discrete:
    """The space of one attacker's action: as it is, K disguises, wait."""
    return spaces.Discrete(engine.attack_actions)


def attacker_reset_infos(engine: AdversarialEngine, lane: int = 0) -> list[Info]:
    """The attackers' infos before the first step."""
    masks = engine.attack_mask[lane].astype(np.int8)
    return [{**dict.fromkeys(ATTACKER_KEYS, -1), "cost": 0.0, "action_mask": m} for m in masks]


def attacker_infos(engine: AdversarialEngine, lane: int = 0) -> list[Info]:
    """The facts of the last step in one lane, attacker by attacker.

    ``own_event`` is 1 where the event that was evaluated is the attacker's; ``disguise`` and
    ``passed`` are then of that event, and else -1. ``waited`` is 1 where it made its next event
    wait, ``cost`` what disguise and waiting cost. ``action_mask`` is of the event to come: 1 for
    the actions that change anything, and for sending it as it is.

    Raises:
        ResetNeededError: If no step was made yet.
    """
    record, team = last_attack(engine), last_record(engine)
    masks = engine.attack_mask[lane].astype(np.int8)
    disguise, passed = int(record.disguises[lane]), int(not team.decision_votes[lane])
    infos: list[Info] = []
    for attacker, mask in enumerate(masks):
        own = int(record.owners[lane]) == attacker
        facts: Info = {"own_event": int(own), "disguise": -1, "passed": -1}
        if own:
            facts |= {"disguise": disguise, "passed": passed}
        waited, cost = record.waited[lane, attacker], record.costs[lane, attacker]
        infos.append(
            {**facts, "waited": int(waited), "cost": float(cost), "action_mask": mask.copy()}
        )
    return infos


def last_attack(engine: AdversarialEngine) -> AttackRecord:
    """The attackers' part of the engine's last step.

    Raises:
        ResetNeededError: If there was none.
    """
    if engine.last_attack is None:
        raise ResetNeededError("no step was made yet; call reset() and step() first")
    return engine.last_attack


def as_adversary(adversary: AdversaryConfig | Mapping[str, Any] | None) -> AdversaryConfig:
    """The attackers that a view was asked for: a configuration, a mapping, or the defaults.

    Raises:
        UnknownNameError: If a key is not a setting.
        ConfigError: If it is something else.
    """
    if adversary is None:
        return AdversaryConfig()
    if isinstance(adversary, Mapping):
        return from_plain(AdversaryConfig, adversary)
    if not isinstance(adversary, AdversaryConfig):
        raise ConfigError(f"adversary must be an AdversaryConfig or a mapping, not {adversary!r}")
    return adversary
