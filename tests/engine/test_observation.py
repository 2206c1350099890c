import numpy as np
import pytest

from marl_stl_env.config import EnvConfig, Views
from marl_stl_env.consensus.rules import DecisionRule
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine import observation
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.observation import ObservationModel, sensor_groups
from marl_stl_env.errors import ConfigError
from tests.conftest import FOUR, VIEWS, make_table

NAMES = tuple(VIEWS)


@pytest.mark.parametrize(
    ("agents", "expected"),
    [
        (1, (NAMES,)),
        (2, (("flow", "timing"), ("content", "host"))),
        (3, (("flow", "host"), ("content",), ("timing",))),
        (4, (("flow",), ("content",), ("timing",), ("host",))),
        (6, (("flow",), ("content",), ("timing",), ("host",), ("flow",), ("content",))),
    ],
)
def test_groups_are_dealt_round_robin(agents: int, expected: tuple[tuple[str, ...], ...]) -> None:
    assert sensor_groups(NAMES, agents, "groups") == expected
    assert sensor_groups(NAMES, agents, "full") == (NAMES,) * agents


@pytest.mark.parametrize("agents", [1, 2, 3, 4, 7, 10])
def test_overlapping_views_are_dealt_evenly(agents: int) -> None:
    for seen_by in range(-(-agents // 4), agents + 1):
        deal = sensor_groups(NAMES, agents, "overlap", seen_by)
        assert all(len(set(groups)) == len(groups) for groups in deal)
        sizes = [len(groups) for groups in deal]
        assert max(sizes) - min(sizes) <= 1
        for name in NAMES:
            assert sum(name in groups for groups in deal) == seen_by
    assert sensor_groups(NAMES, agents, "overlap", agents) == (NAMES,) * agents
    if agents > 4:
        with pytest.raises(
            ConfigError, match=f"with 1 of {agents} sensors .* view_share must be 0.25 or more"
        ):
            sensor_groups(NAMES, agents, "overlap", 1)
    for seen_by in range(1, agents + 1):
        assert sensor_groups(("all",), agents, "overlap", seen_by) == (("all",),) * agents


@pytest.mark.parametrize("agents", range(4, 17))
def test_the_default_redundancy_lets_the_vote_bear_its_faulty_sensors(agents: int) -> None:
    """One decisive group: who sees it is right, faulty ones are wrong, all others are taken in."""
    config = EnvConfig(agents=agents, views="overlap")
    faulty, tau = (agents - 1) // 3, -(-agents // 2)

    def bears(seen_by: int, threshold: int) -> bool:
        rule = DecisionRule(agents, faulty, threshold)
        sees = np.arange(agents) < seen_by - faulty
        right = [rule((sees == threat)[None].astype(np.int8))[0] == threat for threat in (0, 1)]
        return all(right)

    assert bears(config.seen_by, tau)
    taus = range(faulty + 1, agents - faulty + 1)
    assert not any(bears(config.seen_by - 1, threshold) for threshold in taus)


@pytest.mark.parametrize("agents", [1, 2, 3, 4, 7, 9])
@pytest.mark.parametrize("views", ["groups", "overlap", "full"])
def test_each_sensor_sees_its_columns_and_its_indicator(agents: int, views: Views) -> None:
    table, seen_by = make_table(50), -(-2 * agents // 3)
    model = ObservationModel(table, agents, views, seen_by=seen_by)
    rows = np.array([3, 0, 49, 3])
    observed = model.observe(rows)
    assert observed.shape == (4, agents, 10 + agents)
    for agent, groups in enumerate(sensor_groups(NAMES, agents, views, seen_by)):
        visible = {column for name in groups for column in VIEWS[name]}
        for lane, row in enumerate(rows):
            for column in range(10):
                wanted = table.features[row, column] if column in visible else 0.0
                assert observed[lane, agent, column] == wanted
            assert observed[lane, agent, 10:].tolist() == [float(a == agent) for a in range(agents)]
        assert set(np.flatnonzero(model.visible()[agent])) == visible


def test_scattered_and_shared_columns(table: TrafficTable) -> None:
    state = {name: getattr(table, name) for name in table.__dataclass_fields__}
    state["views"] = {"even": (0, 2, 4, 6, 8), "odd": (1, 3, 5, 7, 9), "both": (0, 1)}
    model = ObservationModel(TrafficTable(**state), 3, "groups")
    observed = model.observe(np.arange(5))
    for agent, view in enumerate(state["views"].values()):
        hidden = [c for c in range(10) if c not in view]
        np.testing.assert_array_equal(observed[:, agent, view], table.features[:5][:, view])
        assert not observed[:, agent, hidden].any()


def test_layout_and_bounds(table: TrafficTable) -> None:
    model = ObservationModel(table, 4, "groups")
    assert model.layout == (*table.feature_names, "sensor_0", "sensor_1", "sensor_2", "sensor_3")
    observed = model.observe(np.arange(len(table)))
    assert (observed >= model.low).all()
    assert (observed <= model.high).all()
    assert np.isfinite(model.low).all()
    assert np.isfinite(model.high).all()


def test_observations_are_fresh_arrays(table: TrafficTable) -> None:
    model = ObservationModel(table, 4, "groups")
    first = model.observe(np.array([1]))
    kept = first.copy()
    model.observe(np.array([2]))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("deliberation", [0, 1])
def test_a_given_array_is_written_over(deliberation: int, table: TrafficTable) -> None:
    config = EnvConfig(deliberation=deliberation, **FOUR)  # type: ignore[arg-type]
    engine, rng = Engine(config, table, 3, 0), np.random.default_rng(0)
    engine.reset()
    buffer = engine.observe()
    for _ in range(6):
        engine.step(rng.integers(0, 4, (3, 4)))
        assert engine.observe(buffer) is buffer
        np.testing.assert_array_equal(buffer, engine.observe())


@pytest.mark.parametrize(("agents", "views"), [(4, "groups"), (7, "overlap"), (3, "full")])
def test_few_and_many_lanes_are_written_alike(agents: int, views: Views) -> None:
    """One masked copy for a few lanes, a write for each block of columns for many."""
    table = make_table(rows=2_000)
    model = ObservationModel(table, agents, views, seen_by=3)
    rows = np.random.default_rng(0).integers(0, len(table), 1_000)
    many = model.observe(rows)
    few = np.concatenate([model.observe(rows[i : i + 1]) for i in range(len(rows))])
    np.testing.assert_array_equal(many, few)
    # A reused array of other events holds nothing of them.
    np.testing.assert_array_equal(model.observe(rows[:1], model.observe(rows[1:2])), few[:1])


def test_many_lanes_are_written_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of two lanes and a last one alone, each as a lane observes by itself."""

    def model() -> ObservationModel:
        shared = {"one": 0.0, "two": 0.0, "three": 0.0}
        return ObservationModel(table, 3, "groups", shared=shared)

    table, rng = make_table(50), np.random.default_rng(0)
    lane_by_lane = model()
    monkeypatch.setattr(observation, "_CACHED", 2 * 3 * table.features.shape[1])
    monkeypatch.setattr(observation, "_WORTH_A_CALL", 0)
    in_parts, rows = model(), rng.integers(0, 50, 5)
    shared = [rng.random((5, columns), dtype=np.float32) for columns in (1, 2)]
    found = in_parts.observe(rows, in_parts.observe(rows[::-1]), shared)
    for lane in range(5):
        part = slice(lane, lane + 1)
        values = [one[part] for one in shared]
        np.testing.assert_array_equal(found[part], lane_by_lane.observe(rows[part], shared=values))
        np.testing.assert_array_equal(found[lane, 1, -3:], np.hstack(values)[0])
