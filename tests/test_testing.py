"""The contract tests accept what keeps the contract, and say what is wrong with the rest."""

# ruff: noqa: ARG002, ARG005 - whoever breaks a contract need not look at all arguments
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import marl_stl_env as mse
from marl_stl_env.consensus.faults import FAULTS, Fault, Scene
from marl_stl_env.engine.spec_signals import StepContext
from marl_stl_env.errors import PluginError
from marl_stl_env.testing import (
    check_dataset,
    check_fault,
    check_reward,
    check_rule,
    check_spec_signal,
)
from marl_stl_env.types import AnyArray, Float32Array, Int8Array
from tests.conftest import make_table

pytestmark = pytest.mark.usefixtures("own_registrations")
RNG = np.random.default_rng(0)


def test_the_built_in_parts_keep_their_contracts() -> None:
    check_rule("threshold")
    check_reward("payoffs")
    for fault in FAULTS.builtin():
        check_fault(fault)


def first(actions: Int8Array, max_faulty: int, threshold: int) -> Int8Array:
    return np.maximum(actions[:, 0], 0)


def test_a_rule_may_prefer_a_sensor() -> None:
    check_rule(first, anonymous=False)
    with pytest.raises(PluginError, match=r"first decides otherwise when sensors change places"):
        check_rule(first)


def overwriting(actions: Int8Array, max_faulty: int, threshold: int) -> Int8Array:
    actions[:] = 0
    return actions[:, 0]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (lambda actions, f, t: actions, r"returns int8 of shape \(64, 1\)"),
        (lambda actions, f, t: actions.mean(axis=1), "returns float64"),
        (lambda actions, f, t: actions.max(axis=1) + 3, "decides from 2 to 6"),
        (lambda actions, f, t: RNG.integers(0, 4, len(actions)), "when it is called again"),
        (lambda actions, f, t: np.full(len(actions), len(actions) % 4), "depends on other lanes"),
        (lambda actions, f, t: 1 / 0, "raised ZeroDivisionError"),
        (overwriting, "changes the actions it is given"),
    ],
)
def test_rules_that_break_it(rule: Any, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        check_rule(rule)


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (lambda table, payoffs: payoffs[:, 0], "returns float32 of shape"),
        (lambda table, payoffs: payoffs * np.nan, "pays nan for ALLOW on event 0"),
        (lambda table, payoffs: payoffs / table.labels.mean(), "has other events beside"),
        (lambda table, payoffs: payoffs + RNG.random(), "when it is called again"),
        (lambda table, payoffs: table.labels.__setitem__(0, True), "read-only"),
        (lambda table, payoffs: "much", "returns <U4"),
    ],
)
def test_rewards_that_break_it(reward: Any, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        check_reward(reward, make_table(200))


class Counting(Fault):
    """Remembers how often it was called."""

    calls = 0

    def claims(self, scene: Scene) -> int:
        self.calls += 1
        return self.calls % 4


class Rolling(Fault):
    """Draws from a generator of its own."""

    def claims(self, scene: Scene) -> AnyArray:
        return RNG.integers(0, 4, scene.actions.shape)


class Neighbours(Fault):
    """Looks at the next lane."""

    def claims(self, scene: Scene) -> AnyArray:
        return np.roll(scene.actions, 1, axis=0)


class Tall(Fault):
    """Claims for twice as many lanes."""

    def claims(self, scene: Scene) -> AnyArray:
        return np.zeros((2 * len(scene.labels), scene.actions.shape[1]), int)


class Relabelling(Fault):
    """Changes the labels."""

    def claims(self, scene: Scene) -> int:
        scene.labels[:] = False
        return 0


class Demanding(Fault):
    """Needs more than the rule."""

    def __init__(self, rule: Any, much: int) -> None:
        super().__init__(rule)

    def claims(self, scene: Scene) -> int:
        return 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Counting, "in another batch or another call"),
        (Rolling, "in another batch or another call"),
        (Neighbours, "in another batch or another call"),
        (Tall, r"Tall claims int64 of shape \(128, 4\)"),
        (Relabelling, "changes the scene"),
        (Demanding, "Demanding raised TypeError: .*much"),
        (int, "no subclass of"),
    ],
)
def test_faults_that_break_it(fault: Any, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        check_fault(fault)


def test_signals() -> None:
    def split(step: StepContext) -> AnyArray:
        return np.asarray(step.actions.std(axis=1))

    check_spec_signal(split, needs_labels=False)
    mse.register_spec_signal("split", split, needs_labels=False)
    check_spec_signal("split")
    check_spec_signal(lambda step: step.table.families[step.rows])


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        (lambda step: step.actions, r"returns int8 of shape \(16, 7\)"),
        (lambda step: 1.0, r"returns float64 of shape \(\)"),
        (lambda step: np.full(len(step.rows), np.inf), "is inf"),
        (lambda step: step.steps + RNG.random(), "when it is called again"),
        (lambda step: step.steps * 0 + len(step.steps), "depends on other lanes"),
        (lambda step: step.labels, "needs_labels=True"),
        (lambda step: step.table.families[step.rows], "needs_labels=True"),
        (lambda step: step.outcome.age, "needs_labels=True"),
        (lambda step: step.speed, "raised AttributeError"),
    ],
)
def test_signals_that_break_it(signal: Any, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        check_spec_signal(signal, needs_labels=False)


def table(rows: int = 300, seed: int = 0) -> mse.TrafficTable:
    return make_table(rows, seed)


def test_data_sets() -> None:
    check_dataset(table)
    check_dataset(table, rows=400)
    check_dataset("synthetic", rows=2_000)


def infinite() -> mse.TrafficTable:
    features: Float32Array = table().features.copy()
    features[0, 0] = np.inf
    return replace(table(), features=features)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (lambda: {"features": 3}, "returns dict"),
        (lambda: table(seed=int(RNG.integers(10**6))), "differ when it is loaded again"),
        (lambda: replace(table(), labels=np.zeros(300, bool)), "0% threats"),
        (infinite, "features hold inf"),
        (lambda: open("not there"), "raised FileNotFoundError"),  # noqa: SIM115, PTH123
    ],
)
def test_data_sets_that_break_it(dataset: Any, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        check_dataset(dataset)
