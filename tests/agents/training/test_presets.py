"""``--preset`` on the command line."""

import sys

import pytest
from marl_stl_agents.command_line import run_command
from marl_stl_agents.commands.options import TrainCommand
from marl_stl_agents.commands.presets import PRESETS

from tests.programs import status_of


def parsed(arguments: str, monkeypatch: pytest.MonkeyPatch) -> TrainCommand | int:
    """The command that train.py would act on, or the exit status where it refuses."""
    found: list[TrainCommand] = []
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments.split()])
    status = status_of(lambda: run_command(TrainCommand, found.append, "Train.", PRESETS))
    return found[0] if found else status


@pytest.mark.parametrize("flag", ["--preset seed", "--preset=seed"])
def test_the_published_protocol(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = parsed(flag, monkeypatch)
    assert isinstance(command, TrainCommand)
    config = command.settings()
    env, ppo = config.env, config.ppo
    assert (env.agents, env.views, env.episode_length) == (3, "full", 1000)
    assert (env.reward.false_negative, env.reward.true_negative) == (-10.0, 1.0)
    assert (ppo.n_steps, ppo.n_epochs, ppo.batch_size, ppo.discount) == (2048, 10, 64, 0.99)
    assert (ppo.learning_rate, ppo.entropy_coefficient, ppo.value_coefficient) == (3e-4, 0.05, 1.5)
    assert (ppo.gae_lambda, ppo.clip_range, ppo.max_grad_norm) == (0.95, 0.2, 0.5)
    assert (config.iterations, config.lanes, ppo.bins) == (150, 1, 0)


def test_the_one_for_unseen_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    command = parsed("--preset unseen --dataset nsl-kdd --threshold 4", monkeypatch)
    assert isinstance(command, TrainCommand)
    config = command.settings()
    env = config.env
    assert (env.data.dataset, env.agents, env.second_opinions) == ("nsl-kdd", 7, 7)
    assert (env.data.balance, env.reward.team_share) == ("families", 0.0)
    assert env.consensus.threshold_for(env.agents) == 4
    assert config.evaluate_every == config.iterations == 20
    plain = parsed("--preset unseen --dataset nsl-kdd", monkeypatch)
    assert isinstance(plain, TrainCommand)
    assert (plain.env.consensus.threshold_for(7), plain.env.consensus.faulty_for(7)) == (3, 2)


def test_every_preset_names_its_team() -> None:
    """The defaults are free to change without them."""
    teams = {name: (one.env.agents, one.env.views, one.stl) for name, one in PRESETS.items()}
    assert teams == {
        "fast": (7, "overlap", "monitor"),
        "seed": (3, "full", "off"),
        "unseen": (7, "overlap", "off"),
        "response": (4, "groups", "off"),
        "certified": (7, "overlap", "lagrangian"),
    }


def test_other_flags_go_on_top_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = parsed("--preset seed", monkeypatch)
    for arguments in (
        "--preset seed --discount 0 --team-share 0.5",
        "--discount 0 --team-share 0.5 --preset seed",
    ):
        command = parsed(arguments, monkeypatch)
        assert isinstance(command, TrainCommand)
        assert isinstance(plain, TrainCommand)
        assert (command.ppo.discount, command.env.reward.team_share) == (0.0, 0.5)
        assert (command.ppo.batch_size, command.env.agents) == (64, 3)
        assert command != plain
    assert parsed("", monkeypatch) == TrainCommand()
    assert parsed("--lanes 3", monkeypatch) == TrainCommand(lanes=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--preset sed", "seed"),
        ("--preset seed --resume runs/x", "--resume"),
        ("--preset seed --restart runs/x", "--restart"),
        ("--preset seed --max-faulty 1", "max_faulty=1"),  # 3 sensors tolerate none
        ("--preset seed --return-normalization best", "running"),
        ("--preset seed --return-normalization batch --policy lstm", "'running' or 'none'"),
    ],
)
def test_what_contradicts_a_preset_is_refused(
    arguments: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert parsed(arguments, monkeypatch) == 2
    assert message in capsys.readouterr().err
