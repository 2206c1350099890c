"""Every observation of every split of every data set lies in its space; labels leak nowhere."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from marl_stl_env.config import DataConfig, EnvConfig, Split
from marl_stl_env.data.datasets.synthetic.loader import load
from marl_stl_env.data.prepare import prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space, state_space


def assert_inside(engine: Engine) -> None:
    space, states = observation_space(engine), state_space(engine)
    for rows in np.array_split(np.arange(len(engine.table)), 1 + len(engine.table) // 20_000):
        observed = engine.observations.observe(rows)
        assert observed.dtype == np.float32
        assert (observed >= space.low).all()
        assert (observed <= space.high).all()
        seen = engine.observations.state(rows)
        assert (seen >= states.low).all()
        assert (seen <= states.high).all()
    assert space.contains(observed[0, 0])
    assert states.contains(seen[0])


@pytest.mark.parametrize("split", get_args(Split))
def test_synthetic(split: Split) -> None:
    data = DataConfig(dataset_options=("rows=20000",))
    assert_inside(Engine.from_config(EnvConfig(data=data, split=split), lanes=1))


@pytest.mark.data
@pytest.mark.parametrize("method", ["official", pytest.param("stratified", marks=pytest.mark.long)])
@pytest.mark.parametrize("split", get_args(Split))
def test_nsl_kdd(split: Split, method: Any, data_dir: Path) -> None:
    config = EnvConfig(
        data=DataConfig(dataset="nsl-kdd", data_dir=data_dir, split_method=method), split=split
    )
    assert_inside(Engine.from_config(config, lanes=1))


def test_shuffled_labels_cannot_be_learned() -> None:
    """A classifier that sees all observations of shuffled labels does no better than chance."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    table = load(rows=8_000)
    order = np.random.default_rng(0).permutation(len(table))
    state = {name: getattr(table, name) for name in table.__dataclass_fields__}
    state |= {"labels": table.labels[order], "families": table.families[order], "posterior": None}
    shuffled = TrafficTable(**state)

    def area(raw: TrafficTable) -> float:
        tables = prepare(EnvConfig(), raw).tables
        observed = {
            name: Engine(EnvConfig(), tables[name], 1, 0)
            .observations.observe(np.arange(len(tables[name])))
            .reshape(len(tables[name]), -1)
            for name in ("train", "test")
        }
        model = HistGradientBoostingClassifier(max_iter=30, random_state=0)
        model.fit(observed["train"], tables["train"].labels)
        scores = model.predict_proba(observed["test"])[:, 1]
        return float(roc_auc_score(tables["test"].labels, scores))

    assert area(table) > 0.9  # the same test sees what there is to learn
    assert 0.44 < area(shuffled) < 0.56
