"""The preflight beside a training."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from marl_stl_agents.diagnostics import background
from marl_stl_agents.diagnostics.background import BackgroundPreflight
from marl_stl_agents.diagnostics.facts import DataFacts
from marl_stl_agents.diagnostics.preflight import Policy, Preflight, preflight
from marl_stl_agents.evaluation.ranking import average_precision, roc_auc
from sklearn.metrics import average_precision_score, roc_auc_score

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data.prepare import PreparedData, prepare
from tests.conftest import FOUR

CONFIG = EnvConfig(data=DataConfig(dataset_options=("rows=1200",)), **FOUR)
POLICY = Policy("any", 0.5, 0.5, 0.5, 1.0)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparedData:
    """Data that no preflight is known of, on a machine with a core to spare."""
    monkeypatch.setenv("MARL_STL_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(background, "_cores", lambda: 2)
    return prepare(CONFIG)


def ends_with(code: str) -> Any:
    """What begins, in place of the process, one that runs this code."""

    def started(config: EnvConfig, prepared: PreparedData, answer: Any) -> Any:
        return subprocess.Popen([sys.executable, "-c", code], stdout=answer)

    return started


@pytest.mark.long
def test_another_process_finds_the_same(data: PreparedData) -> None:
    said: list[str] = []
    pending = BackgroundPreflight(CONFIG, data, said.append)
    report = pending.wait()
    pending.close()
    assert len(said) == 1
    assert report == preflight(CONFIG, data)  # of the cache, where the process left it
    again = BackgroundPreflight(CONFIG, data, said.append)
    assert again.poll() == report
    assert len(said) == 1


@pytest.mark.parametrize("code", ["import sys; sys.exit(3)", "print('{}')"])
def test_what_fails_elsewhere_is_computed_here(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    report = Preflight(DataFacts.of(data), "validation", (POLICY,), (POLICY,), None, 1)

    def of_caller(config: EnvConfig, prepared: PreparedData, say: Any) -> Preflight:
        return report

    monkeypatch.setattr(background, "_started", ends_with(code))
    monkeypatch.setattr(background, "preflight", of_caller)
    said: list[str] = []
    pending = BackgroundPreflight(CONFIG, data, said.append)
    assert pending.wait() is report
    assert "trying it here" in said[-1]
    pending.close()


def test_a_process_that_nobody_waits_for_ends(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def started(config: EnvConfig, prepared: PreparedData, answer: Any) -> Any:
        begun.append(ends_with("import time; time.sleep(600)")(config, prepared, answer))
        return begun[0]

    monkeypatch.setattr(background, "_started", started)
    said: list[str] = []
    pending = BackgroundPreflight(CONFIG, data, said.append)
    assert pending.poll() is None
    pending.close()
    assert begun[0].poll() is not None


def test_where_no_process_can_begin_it_is_computed_here(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Preflight(DataFacts.of(data), "validation", (POLICY,), (POLICY,), None, 1)
    monkeypatch.setattr(background, "_started", Mock(side_effect=OSError(28, "no space left")))
    monkeypatch.setattr(background, "preflight", Mock(return_value=report))
    pending = BackgroundPreflight(CONFIG, data, str)
    assert pending.poll() is report
    pending.close()


def test_the_process_finds_what_this_one_finds_and_says_nothing(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(subprocess, "Popen", begin := Mock())
    monkeypatch.syspath_prepend(str(tmp_path))
    pending = BackgroundPreflight(CONFIG, data, str)
    given = begin.call_args.kwargs
    assert given["env"]["PYTHONPATH"].split(os.pathsep)[0] == str(tmp_path)
    assert "-P" in begin.call_args.args[0]  # a file of the working directory is no module of it
    assert given["stderr"] == subprocess.DEVNULL
    pending.close()


def test_the_process_ends_with_the_one_that_began_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(os, "getppid", Mock(side_effect=[7, 7, 1]))
    monkeypatch.setattr(os, "_exit", ended := Mock())
    background.end_with(7)
    ended.assert_called_once()


def test_a_cache_that_takes_nothing_costs_only_time(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = Preflight(DataFacts.of(data), "validation", (POLICY,), (POLICY,), None, 1)
    monkeypatch.setattr("marl_stl_agents.diagnostics.preflight._look", Mock(return_value=report))
    (tmp_path / "preflight").touch()  # no folder
    with pytest.warns(UserWarning, match="is not kept"):
        assert preflight(CONFIG, data) is report


def test_ranking_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for values in (4, 50, 10**6):  # from many equal scores to none
        labels = rng.random(400) < 0.2
        scores = rng.integers(0, values, 400) + labels * values / 4
        assert average_precision(labels, scores) == pytest.approx(
            average_precision_score(labels, scores), abs=1e-12
        )
        assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
