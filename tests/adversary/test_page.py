"""The guide to the red team does what it says."""

from typing import Any

import pytest

from marl_stl_env.config import AdversaryConfig
from tests.documents import blocks


def test_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for language, content in blocks("guide/redteam.md"):
        assert language == "python"
        exec(content, names)
    assert "'own_event'" in capsys.readouterr().out
    assert names["env"].possible_agents[-2:] == ["attacker_0", "attacker_1"]
    assert isinstance(names["adversary"], AdversaryConfig)
    assert names["attacker"].action_space.n == 10
    assert names["analyst"].action_space.n == 4
