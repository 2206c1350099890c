"""Training in turns: attackers against all teams so far, then the team against all attackers.

Each side learns against a uniform mixture of the other's past policies, which is fictitious
self-play (Heinrich, Lanctot and Silver 2015, "Fictitious self-play in extensive-form games").
Every turn is a folder that is written whole. A turn depends on the turns before it and on its own
seed alone, so a run that was stopped goes on exactly as if it had not been.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import (
    best_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from marl_stl_agents.checkpoints.trainer_state import TrainerState
from marl_stl_agents.config.redteam import RedTeamConfig
from marl_stl_agents.metric_names import REWARD
from marl_stl_agents.redteam.attacker import (
    attack_of,
    load_attacker,
    save_attacker,
    train_attacker,
)
from marl_stl_agents.redteam.exploit import UNDISGUISED, evaluate_attacks
from marl_stl_agents.redteam.result import Say, Table, write_attacks
from marl_stl_agents.redteam.team import as_choose, check_can_be_asked, train_team
from marl_stl_agents.run_data import check_data, config_at, describe_data, prepare_again
from marl_stl_agents.run_directory import (
    DATA,
    TURNS,
    check_vacant,
    find_run,
    locked_run,
    read_json,
    write_config,
    write_json,
)
from marl_stl_agents.run_plugins import record_plugins
from marl_stl_env.adversary.engine import AdversarialEngine, Attack
from marl_stl_env.adversary.table import disguised_table
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.adversarial.attackers import attacker_actions, attacker_space
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import RunError
from marl_stl_env.files import output_errors

#: What a training in turns writes beside the files of a run.
SETTINGS, ATTACKERS, TEAMS = TURNS, "attackers", "teams"
#: Seeds of the turns and of the best responses are this far apart.
_APART = 1000


def run_redteam(settings: RedTeamConfig, say: Say = print) -> Path:
    """Train in turns, or go on with it, and evaluate the team that comes out.

    Args:
        settings: What to do.
        say: Called with what is being done.

    Returns:
        The new run directory. It is a run as any other, whose checkpoint is the last team, with
        the attackers in ``attackers/`` and ``attacks.json`` beside it.

    Raises:
        RunError: If the run is not there or damaged, or the folder belongs to other settings.
        ConfigError: If the team has a memory, or nothing is known of what may be disguised.
    """
    source = find_run(settings.run)
    config = config_at(source, None, settings.plugins)
    check_can_be_asked(config)
    resolve_device("cpu", settings.threads)
    prepared = prepare_again(source, config)
    check_data(source, prepared)
    table = Table(settings, config, prepared)
    first = _policy_of(source, table)
    disguised_table(table.task(), settings.adversary, prepared)  # refused before a folder is made
    target = settings.run_dir or source.with_name(f"{source.name}-redteam")
    with output_errors(target):
        target.mkdir(parents=True, exist_ok=True)
    with locked_run(target):
        _begin(target, table)
        attacks, policy = _play(target, table, first, say)
        if newest_checkpoint(target) is None:
            _save_team(target, table, policy)
        write_attacks(target, table, as_choose(policy), attacks, say)
    return target


def _policy_of(run: Path, table: Table) -> ActorCriticPolicy:
    """The best checkpoint of a run."""
    engine = Engine(table.config.task, table.prepared.tables["validation"], lanes=1)
    return saved_policy(best_checkpoint(run), observation_space(engine), torch.device("cpu"))


def _begin(target: Path, table: Table) -> None:
    """Write down what the folder is for, or check that it is for the same.

    Raises:
        RunError: If it is not.
    """
    wanted = as_plain(table.settings)
    if (target / SETTINGS).is_file():
        if read_json(target / SETTINGS) != wanted:
            raise RunError(
                f"{target} was begun with other settings (see {SETTINGS}); repeat them to go on, "
                "or choose another --run-dir"
            )
        return
    check_vacant(target)
    write_json(target / DATA, describe_data(table.prepared))
    record_plugins(target, table.config)
    write_config(target, replace(table.config, run_dir=target))
    write_json(target / SETTINGS, wanted)


def as_plain(settings: RedTeamConfig) -> dict[str, Any]:
    """Settings as JSON has them, without those that change nothing of the result."""
    plain = asdict(settings)
    for name in ("run_dir", "threads", "plugins"):
        del plain[name]
    return {name: str(v) if isinstance(v, Path) else v for name, v in plain.items()}


def _play(
    target: Path, table: Table, first: ActorCriticPolicy, say: Say
) -> tuple[list[Attack], ActorCriticPolicy]:
    """All turns that are not done yet; the attackers and the last team."""
    settings = table.settings
    attackers, teams = list[ActorCriticPolicy](), [first]
    for turn in range(1, settings.turns + 1):
        seed = settings.seed + _APART * turn
        path = target / ATTACKERS / f"{turn:03d}.safetensors"
        if not path.is_file():
            say(f"turn {turn} of {settings.turns}: attackers learn against {len(teams)} teams")
            start = attackers[-1] if attackers else None
            learned = train_attacker(
                table.task(),
                settings.adversary,
                table.prepared,
                [as_choose(team) for team in teams],
                settings.attack_iterations,
                seed,
                start,
            )
            save_attacker(learned, path)
        attackers.append(_read_attacker(path, table))
        folder = target / TEAMS / f"{turn:03d}"
        if newest_checkpoint(folder) is None:
            say(f"turn {turn} of {settings.turns}: the team learns against {turn} attackers")
            attacks = [attack_of(one) for one in attackers]
            learned = train_team(
                table.training,
                settings.adversary,
                table.prepared,
                attacks,
                settings.team_iterations,
                seed,
                teams[-1],
            )
            _save_team(folder, table, learned, turn)
        teams.append(_policy_of(folder, table))
    return [attack_of(one) for one in attackers], teams[-1]


def _read_attacker(path: Path, table: Table) -> ActorCriticPolicy:
    engine = AdversarialEngine.make(table.task(), table.settings.adversary, 1, 0, table.prepared)
    return load_attacker(path, attacker_space(engine), attacker_actions(engine))


def _save_team(
    folder: Path, table: Table, policy: ActorCriticPolicy, turn: int | None = None
) -> None:
    """Write a team as a checkpoint, with how it does on the validation split."""
    task = replace(table.config.task, split="validation")
    found = evaluate_attacks(task, table.settings.adversary, table.prepared, as_choose(policy), {})
    done = (table.settings.turns if turn is None else turn) * table.settings.team_iterations
    save_checkpoint(
        folder,
        policy,
        done * table.config.ppo.n_steps * table.config.lanes * table.config.env.agents,
        {REWARD: found[UNDISGUISED].reward_per_event},
        TrainerState({}, {}),
    )
