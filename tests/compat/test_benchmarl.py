from pathlib import Path

import pytest

from tests.compat.common import COMPAT, CONFIG, check_torchrl, run_snippet

pytestmark = COMPAT


def test_benchmarl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # it writes a folder of its own
    names = run_snippet("BenchMARL", "benchmarl", "benchmarl")
    experiment = names["experiment"]
    assert (experiment.n_iters_performed, experiment.total_frames) == (1, 400)
    assert experiment.group_map == {"sensor": [f"sensor_{i}" for i in range(CONFIG.agents)]}
    check_torchrl(experiment.task.get_env_fun(1, False, 0, "cpu")())
