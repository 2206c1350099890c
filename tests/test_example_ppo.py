"""``examples/ppo_team.py`` learns, and the same seed gives the same team."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from marl_stl_agents.evaluation.metrics import normalized_score

import marl_stl_env as mse
from examples import ppo_team
from tests.documents import ROOT

ARGS = ppo_team.Args(
    agents=4, views="full", rows=4000, lanes=16, iterations=40, steps=32, minibatch=512, width=32
)


def weights(network: ppo_team.Network) -> list[float]:
    return torch.cat([one.detach().flatten() for one in network.parameters()]).tolist()


@pytest.mark.long
def test_the_team_learns() -> None:
    untrained = ppo_team.evaluate(ppo_team.train(replace(ARGS, iterations=1)), ARGS)
    found = ppo_team.evaluate(ppo_team.train(ARGS), ARGS)
    # 0 is the better constant policy: "allow everything".
    assert untrained["normalized"] < 0.1
    assert found["normalized"] > 0.3
    assert found["f1"] > 0.5
    table = mse.parallel_env(ppo_team.environment(ARGS, split="test")).engine.table
    pay, threats = mse.RewardConfig(), table.threat_rate
    bounds = [
        (1 - threats) * pay.true_negative + threats * value
        for value in (pay.false_negative, pay.true_positive)
    ]
    assert found["normalized"] == pytest.approx(normalized_score(found["reward"], *bounds))


@pytest.mark.parametrize("vector", ["native", "supersuit"])
def test_the_same_seed_gives_the_same_weights(vector: Any) -> None:
    """On both vectors, which play the same trajectories."""
    small = replace(ARGS, lanes=2, iterations=1, steps=8, rows=2000, discount=0.9)
    one = weights(ppo_team.train(small))
    assert weights(ppo_team.train(replace(small, vector=vector))) == one
    assert weights(ppo_team.train(replace(small, seed=2))) != one


def test_returns_are_scaled_by_their_deviation() -> None:
    rng = np.random.default_rng(0)
    scale, returns, every = ppo_team.ReturnScale(3, 0.9), np.zeros(3), []
    for _ in range(50):
        rewards, dones = rng.normal(2.0, 3.0, 3), rng.random(3) < 0.1
        returns = returns * 0.9 + rewards
        every.append(returns.copy())
        expected = rewards / (np.std(every) + 1e-12)
        np.testing.assert_allclose(scale(rewards, dones), np.clip(expected, -10, 10), rtol=1e-5)
        returns[dones] = 0.0


def test_it_is_one_short_file_of_its_own() -> None:
    text = (ROOT / "examples" / "ppo_team.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 250
    assert "import marl_stl_agents" not in text
    assert "from marl_stl_agents" not in text


def test_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import runpy

    flags = "--agents 2 --views full --rows 2000 --lanes 2 --iterations 1 --steps 8 --width 8"
    monkeypatch.setattr(sys, "argv", ["ppo_team.py", *flags.split()])
    runpy.run_path(str(Path(ppo_team.__file__)), run_name="__main__")
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "reward",
        "normalized",
        "f1",
    ]
