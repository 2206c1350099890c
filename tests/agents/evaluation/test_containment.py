from dataclasses import replace

import numpy as np
import pytest
from marl_stl_agents.console.tables import show_evaluation
from marl_stl_agents.evaluation.containment import containment_metrics, survival_quantile
from marl_stl_agents.evaluation.replay import segment_length
from marl_stl_agents.evaluation.result import Containment, StepsToContainment
from marl_stl_agents.evaluation.rollouts import Rollout

from marl_stl_env.config import EnvConfig, ResponseConfig
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import TableError
from marl_stl_env.types import Action, AnyArray
from tests.agents.evaluation.results import make_result
from tests.conftest import make_table

A, B, Q, AL = (int(action) for action in Action)
CONFIG = EnvConfig(
    dynamics="response",
    agents=1,
    views="full",
    episode_length=6,
    response=ResponseConfig(alert_budget=1, alert_window=4),
)


def played(
    entities: list[int], threats: list[int], decisions: list[int], isolated: list[int]
) -> tuple[TrafficTable, Rollout]:
    table = make_table(len(entities))
    labels = np.array(threats, np.bool_)
    families = labels.astype(np.int16)
    state = {"entities": np.array(entities, np.int32), "labels": labels, "families": families}
    chosen = np.array(decisions, np.int8)
    rollout = Rollout(
        actions=chosen[:, None],
        decisions=chosen,
        scores=np.zeros(len(chosen)),
        rewards=np.zeros(len(chosen), np.float32),
        isolated=np.array(isolated, np.bool_),
        granted=chosen == AL,
        refused=np.zeros(len(chosen), np.bool_),
        shielded=np.zeros(len(chosen), np.bool_),
    )
    return TrafficTable(**(table.state() | state)), rollout


def test_figures_by_hand() -> None:
    # Episode 1: entity 0 attacks at steps 0, 2, 3 and is blocked at 3; entity 1 never is.
    # Episode 2: entity 1 attacks at step 1, stopped at once by isolation; entity 2 is benign.
    table, rollout = played(
        [0, 1, 0, 0, 1, 2, 2, 1, 2, 2, 2, 2],
        [1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0],
        [A, A, AL, B, A, A, Q, Q, A, B, A, A],
        [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
    )
    assert segment_length(CONFIG, len(table)) == 6
    figures = containment_metrics(CONFIG, table, rollout)
    assert figures.attacks == 3
    assert figures.contained == pytest.approx(2 / 3)
    # Waits: 3 (contained), 1 (censored at the end of the episode), 0 (contained).
    assert figures.steps_to_containment == StepsToContainment(3.0, 3.0)
    assert figures.threats_passed_before_containment == pytest.approx((2 + 1 + 0) / 3)
    assert figures.benign_downtime == pytest.approx(2 / 7)
    assert figures.benign_isolated == 0.0
    assert figures.analyst_budget_used == pytest.approx((1 / 12) / (1 / 4))
    assert figures.quarantines_per_entity == pytest.approx(1 / 5)  # 3 + 2 entities met


def product_limit(waits: AnyArray, contained: AnyArray, share: float) -> float | None:
    """Kaplan and Meier's estimate from its definition."""
    left = 1.0
    for time in np.unique(waits):
        at_risk = (waits >= time).sum()
        left *= 1 - ((waits == time) & contained).sum() / at_risk
        if left <= 1 - share + 1e-12:
            return float(time)
    return None


@pytest.mark.parametrize("share", [0.25, 0.5, 0.95])
def test_quantiles_are_kaplan_and_meiers(share: float) -> None:
    rng, found = np.random.default_rng(0), set()
    for _ in range(40):
        waits, contained = rng.integers(0, 12, 15), rng.random(15) < 0.7
        wanted = product_limit(waits, contained, share)
        assert survival_quantile(waits, contained, share) == wanted
        found.add(wanted)
    assert len(found) > 2


def test_nothing_contained() -> None:
    assert survival_quantile(np.array([3, 4]), np.array([False, False]), 0.5) is None


def test_order_of_the_replay_counts() -> None:
    table, rollout = played([0] * 24, [1] * 24, [A] * 23 + [B], [0] * 24)
    sequential = containment_metrics(CONFIG, table, rollout)
    shuffled = containment_metrics(replace(CONFIG, order="shuffled"), table, rollout)
    assert sequential.attacks == shuffled.attacks == 4
    assert sequential.threats_passed_before_containment == (6 * 3 + 5) / 4
    assert shuffled.threats_passed_before_containment != (6 * 3 + 5) / 4


def test_entities_are_needed() -> None:
    table, rollout = played([0], [1], [A], [0])
    nameless = TrafficTable(**(table.state() | {"entities": None}))
    with pytest.raises(TableError, match="no entities"):
        containment_metrics(CONFIG, nameless, rollout)


def test_the_report_says_how_attacks_were_contained(capsys: pytest.CaptureFixture[str]) -> None:
    result = make_result(
        response=Containment(
            attacks=8,
            contained=0.625,
            steps_to_containment=StepsToContainment(14.0, None),
            threats_passed_before_containment=2.5,
            benign_downtime=0.01,
            benign_isolated=0.0,
            analyst_budget_used=0.5,
            quarantines_per_entity=0.25,
        ),
    )
    show_evaluation(result)
    shown = " ".join(capsys.readouterr().out.split())
    assert "62.5% of 8 attacks contained" in shown
    assert "median 14, 95 % never reached; 2.5 threats passed before" in shown
    assert "1.0% of benign events stopped; 50% of the analyst's budget used" in shown
