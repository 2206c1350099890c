"""Training in turns: a whole run, resumed bit for bit, that is a run as any other."""

from pathlib import Path
from typing import Any

import pytest
from marl_stl_agents import TrainConfig, evaluate, train
from marl_stl_agents.config import EvaluateConfig, PPOConfig
from marl_stl_agents.config.redteam import RedTeamConfig
from marl_stl_agents.console.redteam import sentences
from marl_stl_agents.redteam import turns
from marl_stl_agents.redteam.turns import run_redteam
from marl_stl_agents.run_directory import read_config, read_json
from safetensors.numpy import load_file

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import prepare
from marl_stl_env.errors import ConfigError, RunError
from tests.conftest import FOUR

TINY: dict[str, Any] = {"turns": 2, "attack_iterations": 1, "team_iterations": 1, "disguises": 2}


def quiet(step: str) -> None:
    del step


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("redteam") / "plain"
    env = EnvConfig(data=DataConfig(dataset_options=("rows=2000",)), episode_length=50, **FOUR)
    config = TrainConfig(
        env=env,
        ppo=PPOConfig(width=8, n_steps=16),
        stl="off",
        backend="native",
        lanes=4,
        iterations=1,
        run_dir=folder,
        progress=False,
        preflight=False,
    )
    train(config, loggers=())
    return folder


@pytest.mark.long
def test_turns_resume_bit_for_bit(plain: Path, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run_redteam(RedTeamConfig(run=plain, run_dir=whole, **TINY), quiet)
    seen: list[str] = []

    class StopError(Exception):
        pass

    def stop(step: str) -> None:
        seen.append(step)
        if "turn 2 of 2: the team" in step:
            raise StopError

    settings = RedTeamConfig(run=plain, run_dir=stopped, **TINY)
    with pytest.raises(StopError):
        run_redteam(settings, stop)
    run_redteam(settings, quiet)
    assert [step for step in seen if step.startswith("turn 1")] != []
    for path in sorted(whole.rglob("*.safetensors")):
        one, two = load_file(path), load_file(stopped / path.relative_to(whole))
        assert one.keys() == two.keys()
        assert all((one[name] == two[name]).all() for name in one)
    for name in ("attacks.json", "disguised.json", "redteam.json"):
        assert read_json(whole / name) == read_json(stopped / name)
    result = read_json(whole / "attacks.json")
    assert {*result["attacks"]} == {
        "undisguised", "random", "greedy", "mixture", "response_0",
    }  # fmt: skip
    assert "takes" in sentences(result)[0]
    assert read_config(whole).run_dir == whole
    evaluated = evaluate(whole, split="validation", settings=EvaluateConfig(certify=0))
    assert evaluated.result.decision.reward_per_event is not None
    with pytest.raises(RunError, match="other settings"):
        run_redteam(RedTeamConfig(run=plain, run_dir=whole, seed=1, **TINY), quiet)


def test_a_refused_start_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder would refuse the same start with other settings, which mend it."""
    config = TrainConfig(env=EnvConfig(data=DataConfig(dataset_options=("rows=2000",)), **FOUR))
    prepared = prepare(config.task)
    for name, value in {
        "find_run": tmp_path, "config_at": config, "prepare_again": prepared, "check_data": None,
        "_policy_of": None,
    }.items():  # fmt: skip
        monkeypatch.setattr(turns, name, lambda *_, value=value: value)
    bad = RedTeamConfig(run=tmp_path, run_dir=tmp_path / "new", constraints=tmp_path / "none.json")
    with pytest.raises(ConfigError, match=r"none\.json cannot be read"):
        run_redteam(bad, quiet)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_no_turns_evaluate_the_team_as_it_is(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "attacked"
    settings = RedTeamConfig(run=plain, run_dir=folder, responses=2, **{**TINY, "turns": 0})
    run_redteam(settings, quiet)
    assert list(folder.glob("attackers/*")) == []
    one, two = (load_file(*run.glob("checkpoints/*/policy.safetensors")) for run in (plain, folder))
    assert all((one[name] == two[name]).all() for name in one)
    assert "lost_low" in read_json(folder / "attacks.json")["exploitability"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"turns": -1}, "turns=-1 is outside"),
        ({"run": Path("a"), "run_dir": Path("a")}, "stays as it is"),
        ({"attackers": 65}, "attackers=65 is outside"),
    ],
)
def test_wrong_settings_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RedTeamConfig(**given)


def test_teams_with_memory_are_refused() -> None:
    from marl_stl_agents.redteam.team import check_can_be_asked

    with pytest.raises(ConfigError, match="memory"):
        check_can_be_asked(TrainConfig(ppo=PPOConfig(policy="lstm")))


@pytest.mark.long
def test_attackers_may_own_sensors(plain: Path, tmp_path: Path) -> None:
    """One mind, two kinds of power: recall falls although nothing is disguised."""
    honest, owned = tmp_path / "honest", tmp_path / "owned"
    tiny = {**TINY, "turns": 0}
    run_redteam(RedTeamConfig(run=plain, run_dir=honest, **tiny), quiet)
    settings = RedTeamConfig(run=plain, run_dir=owned, owned_sensors=1, **{**TINY, "turns": 1})
    run_redteam(settings, quiet)
    rewards = [
        read_json(run / "attacks.json")["attacks"]["undisguised"]["reward_per_event"]
        for run in (honest, owned)
    ]
    assert rewards[1] <= rewards[0]
    assert settings.adversary.owns_faulty
