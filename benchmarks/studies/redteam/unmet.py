"""Greedy evasion with disguises that a team has never met in training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.redteam.exploit import GREEDY, evaluate_attacks
from marl_stl_agents.redteam.team import as_choose
from marl_stl_agents.run_data import config_at, prepare_again

from benchmarks.studies.redteam.settings import UNMET
from marl_stl_env.adversary.policies import GreedyEvasion
from marl_stl_env.config import AdversaryConfig
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space


def with_other_disguises(run: Path) -> dict[str, dict[str, Any]]:
    """What greedy evasion leaves of a team's score, by the number of disguises.

    Args:
        run: The run directory of the team.
    """
    config = config_at(run, None, ())
    prepared = prepare_again(run, config)
    task = replace(config.task, split="test")
    space = observation_space(Engine(task, prepared.tables["test"], lanes=1))
    choose = as_choose(saved_policy(best_checkpoint(run), space, torch.device("cpu")))
    found = {}
    for count in UNMET:
        attacks = {GREEDY: GreedyEvasion(choose)}
        adversary = AdversaryConfig(disguises=count)
        metrics = evaluate_attacks(task, adversary, prepared, choose, attacks)
        found[str(count)] = metrics[GREEDY].as_dict()
    return found
