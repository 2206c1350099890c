import numpy as np
import pytest

from agents.judging import judge
from marl_stl_env.config import EnvConfig
from marl_stl_env.types import Float32Array, Float64Array, Int8Array
from tests.conftest import make_table
from tests.oracles import decide


def act(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
    """An action that depends on the event and on the sensor, so that nothing can be mixed up."""
    sums = observations.sum(axis=1)
    return (np.floor(np.abs(sums) * 100) % 4).astype(np.int8), sums.astype(np.float64)


@pytest.mark.parametrize("rows", [7, 256, 1000])
@pytest.mark.parametrize("order", ["sequential", "shuffled"])
def test_every_event_is_judged_once_and_stays_in_its_place(rows: int, order: str) -> None:
    table = make_table(rows)
    config = EnvConfig(order=order)  # type: ignore[arg-type]
    judgement = judge(config, table, act)
    for row in range(rows):
        actions, scores = [], []
        for sensor, columns in enumerate(table.views.values()):
            observation = np.zeros((1, 14), dtype=np.float32)
            observation[0, list(columns)] = table.features[row, list(columns)]
            observation[0, 10 + sensor] = 1.0
            action, value = act(observation)
            actions.append(int(action[0]))
            scores.append(float(value[0]))
        assert judgement.actions[row].tolist() == actions
        assert judgement.decisions[row] == decide(actions, faulty=1, threshold=2)
        assert judgement.scores[row] == pytest.approx(np.mean(scores), rel=1e-5, abs=1e-6)
    np.testing.assert_array_equal(judgement.votes, np.isin(judgement.actions, (1, 2)))
    np.testing.assert_array_equal(judgement.decision_votes, np.isin(judgement.decisions, (1, 2)))
