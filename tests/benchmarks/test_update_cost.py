"""The table of the study of cheaper updates, and one short training of every kind of variant."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.studies import update_cost
from benchmarks.studies.update_cost import DEFAULT, Settings, reached, row


def result(rewards: list[float], minibatches: int, update: float) -> dict[str, Any]:
    """A run of three iterations."""
    return {
        "curve": [[i + 1, reward] for i, reward in enumerate(rewards)],
        "minibatches": [minibatches] * 3,
        "updates": [update] * 3,
        "rollouts": [0.5] * 3,
    }


def test_a_reward_counts_as_reached_once_it_stays() -> None:
    curve = result([1.0, 0.5, 1.0], 4, 2.0)
    assert reached(curve, 0.4) == 1
    assert reached(curve, 0.9) == 3
    assert reached(curve, 1.1) is None


def test_a_variant_is_compared_with_the_default_of_the_same_seed() -> None:
    default = {0: result([1.0, 2.0, 2.0], 4, 2.0), 1: result([0.0, 1.0, 1.0], 4, 2.0)}
    one = {0: result([1.9, 1.9, 1.8], 2, 0.5), 2: result([9.0, 9.0, 9.0], 2, 0.5)}
    # 1.9 is 95 % of the default's final 2.0, and the last reward is below it.
    assert row(one, default) == pytest.approx([1, 1.8, -0.2, 1.5, None])
    one[0] = result([1.8, 1.9, 1.95], 2, 0.5)
    assert row(one, default) == pytest.approx([1, 1.95, -0.05, 1.5, 2 * (0.5 + 0.5)])


@pytest.mark.slow
def test_a_short_study(tmp_path: Path) -> None:
    names = (DEFAULT, "target_kl 0.01", "critic of width 32", "shared trunk, width 128")
    settings = Settings("run", tmp_path, names, seeds=(0,), iterations=2)
    update_cost.main(settings)
    found = update_cost.collect(tmp_path)
    assert {name for name, runs in found.items() if runs} >= {DEFAULT, "target_kl 0.01"}
    assert found[DEFAULT][0]["minibatches"] == [4 * 14] * 2
    assert found["target_kl 0.01"][0]["minibatches"][0] < 4 * 14
