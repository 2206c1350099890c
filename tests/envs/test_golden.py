"""Nobody changes an environment unnoticed: every id does what it did."""

import json
from typing import Any

import gymnasium
import numpy as np
import pytest

import marl_stl_env as mse
from marl_stl_env.envs.dynamics import NAMES
from tests.envs.golden import FILE, MARGIN, TRAJECTORIES, changed_parts, digest, facts_of, shift_of

GOLDEN: dict[str, dict[str, str]] = json.loads(FILE.read_text(encoding="utf-8"))
ADVICE = """
{name}: {parts} changed. Results of before and after cannot be compared any more. Either undo the
change, or give the id its next version (docs/guide/environment.md, "Versions", has the rules).
Where these rules allow the change without a new version, write the digests anew and commit them:
    python -m tests.envs.golden"""


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_the_environment_is_what_it_was(name: str) -> None:
    parts = changed_parts(facts_of(name), GOLDEN[name])
    assert parts == [], ADVICE.format(name=name, parts=" and ".join(parts))


def test_every_id_has_a_trajectory() -> None:
    ids = {name for name in gymnasium.registry if name.startswith("marl_stl_env/")}
    assert ids | set(NAMES.values()) <= set(TRAJECTORIES) == set(GOLDEN)


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"reward": {"true_negative": 1.5}}, ["rewards"]),
        ({"agents": 3}, ["layout", "observations", "rewards", "infos", "masks"]),
        ({"order": "shuffled"}, ["observations", "rewards", "infos"]),
        ({"dynamics": "response"}, ["layout", "observations", "rewards", "infos"]),
    ],
)
def test_a_change_is_seen(
    settings: dict[str, Any], changed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "replay, 4 sensors, groups"
    make = mse.parallel_env
    monkeypatch.setattr(mse, "parallel_env", lambda **given: make(**{**given, **settings}))
    assert changed_parts(facts_of(name), GOLDEN[name]) == changed


def test_last_digits_do_not_matter() -> None:
    """Noise within the margin leaves the digest alone; a change of 0.1 in one value does not."""
    name = "response, 4 sensors, groups"
    facts = facts_of(name)
    rng = np.random.default_rng(0)
    seen = facts["observations"].astype(float)
    for _ in range(5):
        noise = rng.uniform(-MARGIN, MARGIN, len(seen))
        assert changed_parts({"observations": seen + noise}, GOLDEN[name]) == []
    seen[rng.integers(len(seen))] += 0.1
    assert changed_parts({"observations": seen}, GOLDEN[name]) == ["observations"]


def test_values_on_a_boundary_get_another_shift() -> None:
    content = np.array([0.0995, 0.3])
    assert shift_of(content) != 0.005
    assert digest(content, shift_of(content)) == digest(content + 1e-6, shift_of(content))
