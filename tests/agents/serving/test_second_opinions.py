"""A server of a team with second opinions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from marl_stl_agents.config import PPOConfig
from marl_stl_agents.evaluation.new_traffic import load_team

from tests.agents.evaluation.random_runs import make_run
from tests.agents.serving.conftest import ENV, Served


@pytest.mark.long
def test_the_server_scores_as_the_team_does(served: Served, tmp_path: Path) -> None:
    """Block by block, from the log's text, by forests read from the run."""
    env = replace(ENV, agents=6, second_opinions=2)
    run = make_run(tmp_path / "run", env, PPOConfig(width=8, bins=0), bias=0.0, seed=1)
    team = load_team(run, device="cpu")
    assert team.preprocessor.opinions is not None
    (tmp_path / "flows.csv").write_bytes(b"".join(served.lines))
    content = replace(served, team=team).served(tmp_path)
    found = [json.loads(line) for line in content.splitlines()]
    whole = team.decide(served.frame)
    assert [one["decision"] for one in found] == whole["decision"].tolist()
    votes = whole[[f"sensor_{i}" for i in range(6)]].to_numpy()
    assert np.array([one["votes"] for one in found]).tolist() == votes.tolist()
    assert len({tuple(row) for row in votes[:, 4:].tolist()}) > 1
    scores = [one["threat_score"] for one in found]
    np.testing.assert_allclose(scores, whole["threat_score"], atol=1e-6)
