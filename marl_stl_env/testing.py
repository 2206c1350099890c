"""Contract tests for a user's own data set, rule, reward, fault or signal.

Each check takes what ``register_*`` takes, or the name it was registered under, and raises
:class:`~marl_stl_env.errors.PluginError` with what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from marl_stl_env.config import ConsensusConfig, FaultConfig, RewardConfig, make_config
from marl_stl_env.consensus.faults import FAULTS, Fault, Scene, draw_faulty
from marl_stl_env.consensus.rules import RULES, SILENT, DecisionRule, apply_rule
from marl_stl_env.data.loaders import DATASETS, as_loader, loader_of
from marl_stl_env.data.prepare import prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.reward import REWARDS, apply_reward, payoff_table
from marl_stl_env.engine.spec_signals import SIGNALS, StepContext, register_spec_signal
from marl_stl_env.errors import PluginError
from marl_stl_env.registry import Registry, blamed, describe, temporary_registrations
from marl_stl_env.types import ACTIONS, AnyArray, Int8Array

_TEAMS = (1, 2, 4, 5, 7, 10, 16)
_LANES = 64


def check_rule(rule: Any, *, anonymous: bool = True) -> None:
    """Check a decision rule on teams of 1 to 16 sensors, silent ones among them.

    Args:
        rule: The rule, or its name.
        anonymous: Whether all sensors count alike; False for a rule that prefers some.

    Raises:
        PluginError: If decisions have the wrong shape, type or values, change the actions, differ
            between calls, depend on other lanes or, where they should not, on the sensors' order.
    """
    rule, what = _given(RULES, rule), _name(RULES, rule)
    rng = np.random.default_rng(0)
    for agents in _TEAMS:
        faulty, threshold = (agents - 1) // 3, -(-agents // 2)
        actions = _some_actions(rng, agents)

        def decide(
            actions: Int8Array, faulty: int = faulty, threshold: int = threshold
        ) -> Int8Array:
            return apply_rule(rule, actions, faulty, threshold, what)

        _check_batches(what, decide, actions)
        order = rng.permutation(agents)
        if anonymous and (decide(actions[:, order].copy()) != decide(actions)).any():
            raise PluginError(
                f"{what} decides otherwise when sensors change places; count all alike, or check "
                "it with anonymous=False"
            )


def check_reward(
    reward: Any, table: TrafficTable | None = None, config: RewardConfig | None = None
) -> None:
    """Check a reward on the events of a table.

    Args:
        reward: The reward, or its name.
        table: A scaled table; None takes one of the data set "synthetic".
        config: What the settings pay; None takes the default settings.

    Raises:
        PluginError: If payoffs have the wrong shape or type, are not finite, differ between calls,
            or depend on which other events the table has.
    """
    reward, what = _given(REWARDS, reward), _name(REWARDS, reward)
    events = _some_events() if table is None else table
    usual = payoff_table(config or RewardConfig())

    def pay(events: TrafficTable) -> AnyArray:
        return apply_reward(reward, events, usual[events.labels.astype(np.int64)], what)

    payoffs = pay(events)
    _same(payoffs, pay(events), f"{what} pays otherwise when it is called again")
    rows = np.random.default_rng(0).permutation(len(events))[: max(1, len(events) // 3)]
    _same(
        payoffs[rows],
        pay(events.take(rows)),
        f"{what} pays otherwise when the table has other events beside; an event's payoffs may "
        "depend on that event alone",
    )


def check_fault(fault: Any) -> None:
    """Check a fault in teams of 4 to 16 sensors.

    Args:
        fault: The subclass of ``Fault``, or its name.

    Raises:
        PluginError: If claims are no actions, change the scene, differ between calls, or depend on
            other lanes or on earlier steps.
    """
    kind, what = _given(FAULTS, fault), _name(FAULTS, fault)
    if not (isinstance(kind, type) and issubclass(kind, Fault)):
        raise PluginError(f"{what} is no subclass of marl_stl_env.consensus.faults.Fault")
    rng = np.random.default_rng(0)
    for agents in (4, 7, 16):
        rule = DecisionRule(agents, (agents - 1) // 3, -(-agents // 2))
        with blamed(what):
            used = kind(rule)
        for _ in range(3):
            scene = _some_scene(rng, agents, rule)
            claims = _claimed(used, scene, np.arange(_LANES), what)
            with blamed(what):
                fresh = kind(rule)
            for lanes in (np.arange(_LANES), rng.permutation(_LANES), np.arange(1), np.arange(0)):
                _same(
                    claims[lanes],
                    _claimed(fresh, scene, lanes, what),
                    f"{what} claims something else in another batch or another call; claims may "
                    "depend on the lane's own scene alone, and on chance through scene.words",
                )


def check_spec_signal(signal: Any, *, needs_labels: bool | None = None) -> None:
    """Check a signal on steps of a team with faulty sensors in ``TrafficResponse-v0``.

    Args:
        signal: The signal, or its name.
        needs_labels: What it is registered with; None takes that of a name, and else True.

    Raises:
        PluginError: If values have the wrong shape or type, are not finite, differ between calls,
            depend on other lanes, or on labels although ``needs_labels`` is False.
    """
    entry, what = _given(SIGNALS, signal), _name(SIGNALS, signal)
    function = entry.values if isinstance(signal, str) else signal
    labelled = entry.needs_labels if isinstance(signal, str) else True
    labelled = labelled if needs_labels is None else needs_labels

    def values(step: StepContext) -> AnyArray:
        with blamed(what):
            found = np.asarray(function(step))
        if found.shape != step.labels.shape or found.dtype.kind not in "biuf":
            raise PluginError(
                f"{what} returns {found.dtype} of shape {found.shape}; a signal is one number or "
                f"truth per lane, here {step.labels.shape}"
            )
        if not np.isfinite(found).all():
            raise PluginError(f"{what} is {found[~np.isfinite(found)][0]}; it must be finite")
        return found

    for step in _some_steps():
        found = values(step)
        _same(found, values(step), f"{what} differs when it is called again")
        for lanes in (np.arange(len(found))[::-1], np.arange(1)):
            _same(found[lanes], values(_lanes_of(step, lanes)), f"{what} depends on other lanes")
        if not labelled:
            _same(
                found,
                values(_unlabelled(step)),
                f"{what} depends on labels; register it with needs_labels=True, so that no sensor "
                "is shown what no deployed sensor could see",
            )


def check_dataset(dataset: Any, **options: Any) -> None:
    """Check that a data set loads, loads alike again, and can be split and scaled.

    Args:
        dataset: The function or loader, or its name. A loader's files are looked for in
            ``$MARL_STL_DATA_DIR``.
        **options: Its options.

    Raises:
        PluginError: If it returns no table, not the same one twice, or features that are not
            finite.
        DataError: If files are missing, or the table cannot be split.
    """
    named = isinstance(dataset, str)
    loader, what = loader_of(dataset) if named else as_loader("checked", dataset), ""
    what = DATASETS.described(dataset) if named else f"dataset {describe(dataset)}"
    table = loader.load(loader.files(None), None, **options)
    again = loader.load(loader.files(None), None, **options)
    for name in ("features", "labels", "families", "entities", "times"):
        one, other = getattr(table, name), getattr(again, name)
        if one is not None or other is not None:
            _same(one, other, f"{what}: {name} differ when it is loaded again; fix its seed")
    if np.isinf(table.features).any():
        raise PluginError(f"{what}: features hold inf; use NaN where a number is not known")
    if not 0.0 < table.threat_rate < 1.0:
        raise PluginError(f"{what}: {table.threat_rate:.0%} threats; a team learns from both")
    prepare(make_config(None, {}), table)


def _given(registry: Registry[Any], given: Any) -> Any:
    return registry.find(given) if isinstance(given, str) else given


def _name(registry: Registry[Any], given: Any) -> str:
    named = isinstance(given, str)
    return registry.described(given) if named else f"{registry.kind} {describe(given)}"


def _same(one: Any, other: Any, problem: str) -> None:
    if not np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind == "f"):
        raise PluginError(problem)


def _check_batches(what: str, decide: Callable[[Int8Array], Int8Array], actions: Int8Array) -> None:
    """Refuse decisions that change their input, differ between calls or depend on other lanes."""
    given = actions.copy()
    decisions = decide(given)
    _same(given, actions, f"{what} changes the actions it is given; work on a copy")
    _same(decisions, decide(given), f"{what} decides otherwise when it is called again")
    alone = [decide(given[lane : lane + 1]) for lane in range(len(given))]
    _same(decisions, np.concatenate(alone), f"{what}: a decision depends on other lanes")
    decide(given[:0])


def _some_actions(rng: np.random.Generator, agents: int) -> Int8Array:
    """Random votes, and the unanimous ones.  # (lanes, agents) int8."""
    actions = rng.integers(SILENT, ACTIONS, (_LANES, agents), dtype=np.int8)
    actions[: ACTIONS + 1] = np.arange(SILENT, ACTIONS)[:, None]
    return actions


def _some_events() -> TrafficTable:
    config = make_config(None, {"dataset": "synthetic", "dataset_options": {"rows": 3_000}})
    return prepare(config).tables["train"]


def _some_scene(rng: np.random.Generator, agents: int, rule: DecisionRule) -> Scene:
    words = rng.integers(0, 2**64, (_LANES, agents), dtype=np.uint64)
    return Scene(
        rng.integers(0, ACTIONS, (_LANES, agents), dtype=np.int8),
        draw_faulty(words, rule.max_faulty),
        rng.random(_LANES) < 0.5,
        rng.integers(0, 300, _LANES),
        words[:, ::-1].copy(),
        rule,
    )


def _claimed(fault: Fault, scene: Scene, lanes: AnyArray, what: str) -> Int8Array:
    """The agreed actions of some lanes."""
    given = Scene._make([*(array[lanes] for array in scene[:5]), *scene[5:]])
    before = [array.copy() for array in given[:5]]
    agreed = fault(*given)
    for array, old in zip(given[:5], before, strict=True):
        _same(array, old, f"{what} changes the scene it is given; work on a copy")
    return agreed


def _some_steps() -> list[StepContext]:
    """What happened in some steps of a team whose sensors act at random."""
    steps: list[StepContext] = []

    def seen(step: StepContext) -> AnyArray:
        steps.append(step)
        return step.labels

    config = replace(
        make_config(None, {"dynamics": "response", "agents": 7, "episode_length": 64}),
        consensus=ConsensusConfig(max_faulty=2),
        faults=FaultConfig(2),
    )
    with temporary_registrations():
        register_spec_signal("contract_test", seen)
        watched = replace(config.stl, monitor=True, specs=("c=G (contract_test or true)",))
        engine = Engine(replace(config, stl=watched), _some_events(), 16, seeds=0)
        engine.reset()
        rng = np.random.default_rng(0)
        for _ in range(40):
            engine.step(rng.integers(0, ACTIONS, (16, 7)))
    return steps


def _lanes_of(step: StepContext, lanes: AnyArray) -> StepContext:
    arrays = {n: getattr(step, n)[lanes] for n in _STEP_ARRAYS}
    outcome = step.outcome._replace(**{n: a[lanes] for n, a in step.outcome._asdict().items()})
    return step._replace(**arrays, outcome=outcome)


_STEP_ARRAYS = ("steps", "labels", "decisions", "rewards", "rows", "actions", "faulty")


def _unlabelled(step: StepContext) -> StepContext:
    """The step with all labels turned round, and what follows from labels blank."""
    table = step.table.state() | {"labels": ~step.table.labels, "posterior": None}
    table["families"] = np.zeros_like(step.table.families)
    never, none = np.full_like(step.outcome.age, -1), np.zeros_like(step.outcome.age)
    outcome = step.outcome._replace(age=none, requarantined=never)
    return step._replace(
        labels=~step.labels,
        rewards=np.zeros_like(step.rewards),
        faulty=np.zeros_like(step.faulty),
        outcome=outcome,
        table=TrafficTable.of_checked(table),
    )
