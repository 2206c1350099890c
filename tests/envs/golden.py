"""What the environments of every id do, as digests in ``golden.json``.

``python -m tests.envs.golden`` writes the file anew. Do that only where the version policy in
``docs/guide/environment.md`` allows a change without a new version.

Every trajectory has a fixed seed and fixed actions. Floats differ between processors in their last
digits, so they are rounded to multiples of 0.1 before they are hashed. The multiples are shifted
such that no value lies within ``MARGIN`` of a boundary; each digest's shift is in the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium
import numpy as np

import marl_stl_env as mse
from marl_stl_env.data.table import TrafficTable

FILE = Path(__file__).with_name("golden.json")
SEED, STEPS, WIDTH, MARGIN = 7, 96, 0.1, 1e-5
#: The defaults of every id, on a part of the default data.
ROWS = ("rows=3000",)

#: One step: observations and states, rewards, infos.
Step: TypeAlias = tuple[list[np.ndarray[Any, Any]], list[float], list[dict[str, Any]]]


def plain_table(rows: int = 400) -> TrafficTable:
    """A table out of whole numbers, with entities: no generator and no scaling has a part in it."""
    row, column = np.arange(rows)[:, None], np.arange(10)[None]
    labels = (np.arange(rows) * np.arange(rows) * 31) % 10 < 3
    features = ((row * 7919 + column * 104_729) % 1000) / 128 - 4 + labels[:, None]
    return TrafficTable(
        name="plain",
        features=np.clip(features, -5, 5).astype(np.float32),
        labels=labels,
        families=np.where(labels, 1 + np.arange(rows) % 2, 0).astype(np.int16),
        family_names=("benign", "scan", "flood"),
        feature_names=tuple(f"x{i}" for i in range(10)),
        views={"flow": (0, 1, 2), "content": (3, 4), "timing": (5, 6), "host": (7, 8, 9)},
        entities=(np.arange(rows) // 3 % 17).astype(np.int32),
    )


def of_team(env: Any) -> Iterator[Step]:
    """A trajectory of a PettingZoo environment."""
    observations, infos = env.reset(seed=SEED)
    yield [*observations.values(), env.state()], [], [_plain(one) for one in infos.values()]
    for step in range(STEPS):
        if not env.agents:
            observations, infos = env.reset()
            rewards: dict[str, float] = {}
        else:
            actions = {agent: _action(step, i) for i, agent in enumerate(env.agents)}
            observations, rewards, _, truncated, infos = env.step(actions)
            infos = {agent: {**infos[agent], "over": truncated[agent]} for agent in infos}
        facts = [_plain(one) for one in infos.values()]
        yield [*observations.values(), env.state()], [*rewards.values()], facts


def of_analyst(env: Any) -> Iterator[Step]:
    """A trajectory of a Gymnasium environment."""
    observation, info = env.reset(seed=SEED)
    yield [observation], [], [_plain(info)]
    over = False
    for step in range(STEPS):
        if over:
            observation, info = env.reset()
            over = False
            yield [observation], [], [_plain(info)]
        else:
            observation, reward, _, over, info = env.step(_action(step, 0))
            yield [observation], [float(reward)], [_plain({**info, "over": over})]


def _action(step: int, agent: int) -> int:
    """One of four, without a pattern (Knuth's multiplicative hash)."""
    return (((64 * step + agent + 1) * 2_654_435_761) % 2**32) >> 30


def _plain(info: dict[str, Any]) -> dict[str, Any]:
    """An info as JSON has it."""
    return {k: np.asarray(value).tolist() for k, value in sorted(info.items())}


def _explicit(**settings: Any) -> Callable[[], tuple[Any, Iterator[Step]]]:
    def make() -> tuple[Any, Iterator[Step]]:
        env = mse.parallel_env(table=plain_table(), episode_length=40, **settings)
        return env, of_team(env)

    return make


def _attacked(**settings: Any) -> Callable[[], tuple[Any, Iterator[Step]]]:
    """Explicit attackers on the plain table: two columns may be shifted by round numbers."""
    limits = {"change": "shift", "low": -1.0, "high": 0.5}
    adversary: dict[str, Any] = {"attackers": 2, "disguises": 2, "wait_events": 3}
    adversary["mutable"] = {"x0": limits, "x5": limits}

    def make() -> tuple[Any, Iterator[Step]]:
        env = mse.adversarial_v0.parallel_env(
            table=plain_table(), episode_length=40, adversary=adversary, **settings
        )
        return env, of_team(env)

    return make


def _team(module: Any) -> Callable[[], tuple[Any, Iterator[Step]]]:
    def make() -> tuple[Any, Iterator[Step]]:
        env = module.parallel_env(dataset_options=ROWS)
        return env, of_team(env)

    return make


def _analyst(name: str) -> Callable[[], tuple[Any, Iterator[Step]]]:
    def make() -> tuple[Any, Iterator[Step]]:
        env = gymnasium.make(name, dataset_options=ROWS).unwrapped
        return env, of_analyst(env)

    return make


_SHIELD = {"monitor": True, "observe": True, "shield": True}
#: Every id with its defaults; and configurations in which every setting that matters is stated.
TRAJECTORIES: dict[str, Callable[[], tuple[Any, Iterator[Step]]]] = {
    "marl_stl_env/Traffic-v0": _analyst("marl_stl_env/Traffic-v0"),
    "marl_stl_env/TrafficResponse-v0": _analyst("marl_stl_env/TrafficResponse-v0"),
    "marl_stl_env/TrafficAdversarial-v0": _analyst("marl_stl_env/TrafficAdversarial-v0"),
    "adversarial_v0": _team(mse.adversarial_v0),
    "adversarial, 4 sensors, 2 attackers": _attacked(
        agents=4, views="groups", dynamics="response", stl={"monitor": False}
    ),
    "traffic_v0": _team(mse.traffic_v0),
    "response_v0": _team(mse.response_v0),
    "replay, 4 sensors, groups": _explicit(
        agents=4, views="groups", dynamics="replay", stl={"monitor": False}
    ),
    "replay, 7 sensors, overlap, 2 faulty, deliberation": _explicit(
        agents=7,
        views="overlap",
        dynamics="replay",
        deliberation=1,
        faults={"faulty": 2, "fault": "mixed"},
        consensus={"weights": "reliability"},
        stl={"monitor": True},
    ),
    "replay, 5 sensors, random views": _explicit(
        agents=5, views="random", view_share=0.5, dynamics="replay", order="shuffled",
        stl={"monitor": False},
    ),
    "response, 4 sensors, groups": _explicit(
        agents=4, views="groups", dynamics="response", stl={"monitor": True}
    ),
    "response, 7 sensors, overlap, shield": _explicit(
        agents=7, views="overlap", dynamics="response", stl=_SHIELD,
        faults={"faulty": 1, "fault": "worst_case"},
    ),
}  # fmt: skip


def facts_of(name: str) -> dict[str, Any]:
    """All that a trajectory shows, part by part: floats as one array, the rest as texts."""
    env, steps = TRAJECTORIES[name]()
    seen, rewards, infos = zip(*steps, strict=True)
    return {
        "layout": json.dumps([env.observation_layout, str(env.metadata.get("name"))]),
        "observations": np.concatenate([part.ravel() for step in seen for part in step]),
        "rewards": np.array([one for step in rewards for one in step], float),
        "infos": json.dumps([[_without_mask(one) for one in step] for step in infos]),
        "masks": json.dumps([[_mask(one) for one in step] for step in infos]),
    }


def _mask(info: dict[str, Any]) -> list[int]:
    """What may be done on the event to come: without a mask, everything."""
    mask: list[int] = info.get("action_mask", [1, 1, 1, 1])
    return mask


def _without_mask(info: dict[str, Any]) -> dict[str, Any]:
    return {k: value for k, value in info.items() if k != "action_mask"}


def digest(content: str | np.ndarray[Any, Any], shift: float) -> str:
    """The hash of a part; floats are rounded to multiples of ``WIDTH``, shifted."""
    if isinstance(content, str):
        data = content.encode()
    else:
        data = np.floor(content / WIDTH + shift).astype("<i4").tobytes()
    return hashlib.sha256(data).hexdigest()[:16]


def shift_of(content: str | np.ndarray[Any, Any]) -> float:
    """A shift that keeps every value ``MARGIN`` away from a boundary of the rounding."""
    if isinstance(content, str):
        return 0.0
    for shift in np.linspace(0.005, 0.995, 100).round(3).tolist():
        place = (np.unique(content).astype(float) / WIDTH + shift) % 1.0
        if (np.minimum(place, 1.0 - place) * WIDTH > MARGIN).all():
            return float(shift)
    raise ValueError("no shift keeps all values away from a boundary: make WIDTH larger")


def golden_of(name: str) -> dict[str, str]:
    """Each part's shift and its digest with that shift."""
    parts = {part: (content, shift_of(content)) for part, content in facts_of(name).items()}
    return {part: f"{shift} {digest(content, shift)}" for part, (content, shift) in parts.items()}


def changed_parts(facts: dict[str, Any], golden: dict[str, str]) -> list[str]:
    """The parts of a trajectory that are not those of the file."""
    changed = []
    for part, content in facts.items():
        shift, known = golden[part].split()
        if digest(content, float(shift)) != known:
            changed.append(part)
    return changed


if __name__ == "__main__":
    written = {name: golden_of(name) for name in TRAJECTORIES}
    FILE.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print(f"{FILE}: {len(written)} trajectories")  # noqa: T201
