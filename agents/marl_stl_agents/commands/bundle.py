"""A run's team as one ONNX file, checked on every event of the validation split."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_agents.checkpoints.bundle import TeamGraph
from marl_stl_agents.checkpoints.bundle_file import OUTPUTS, SHARED, write_bundle
from marl_stl_agents.checkpoints.onnx import TOLERANCE, onnx_session
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import WEIGHTS, best_checkpoint
from marl_stl_agents.config import TrainConfig
from marl_stl_agents.evaluation.new_traffic.rows import blank_table
from marl_stl_agents.evaluation.new_traffic.team import deployed
from marl_stl_agents.evaluation.rollouts import Rollout, collect_rollout, greedy
from marl_stl_agents.run_directory import DATA
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.encoding import CategoricalColumn
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.observation import sensor_groups
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import ExportError
from marl_stl_env.files import atomic_path
from marl_stl_env.types import AnyArray, BoolArray, Float32Array, Float64Array, Int8Array, IntArray

#: Events that the file decides on at a time while it is checked.
_ROWS = 8192


def save_bundle(run: Path, config: TrainConfig, prepared: PreparedData, out: Path) -> None:
    """Write the team of a run's best checkpoint, and compare its decisions with the team's.

    Args:
        run: The run directory.
        config: The run.
        prepared: Its data.
        out: The file.

    Raises:
        ExportError: If the decision needs more than the columns of its event, a library is
            missing, or a vote or decision differs; then nothing is written.
    """
    env, preprocessor = deployed(config.task), prepared.preprocessor
    engine = Engine(env, blank_table(preprocessor), lanes=1)
    policy = saved_policy(best_checkpoint(run), observation_space(engine), torch.device("cpu"))
    graph = TeamGraph(env, engine, preprocessor, policy).eval()
    with atomic_path(out) as draft:
        write_bundle(graph, _facts(run, env, engine, prepared), draft)
        check_bundle(draft, graph.shared, env, policy, prepared)


def _facts(run: Path, env: EnvConfig, engine: Engine, prepared: PreparedData) -> dict[str, Any]:
    """Where the team is from, and how it votes, in JSON types."""
    rule, views = engine.rule, tuple(prepared.preprocessor.views)
    groups = sensor_groups(views, env.agents, env.views, env.seen_by, env.second_opinions)
    libraries = ("marl-stl-env", "torch", "onnx", "onnxruntime", "numpy")
    weights = best_checkpoint(run).path / WEIGHTS
    outside = ["the isolation of an entity, which makes the decision Quarantine"]
    outside += ["the analyst's budget of alerts"]
    return {
        "dataset": env.data.dataset,
        "dynamics": env.dynamics,
        "sensors": [list(one) for one in groups],
        "vote": {
            "rule": rule.rule, "max_faulty": rule.max_faulty, "threshold": rule.threshold,
            "deliberation": env.deliberation, "shield": env.stl.shield,
        },
        "not_in_the_graph": outside if env.dynamics == "response" else [],
        "versions": {name: version(name) for name in libraries},
        "sha256": {"weights": _digest(weights), "preprocessing": _digest(run / DATA)},
    }  # fmt: skip


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_bundle(
    path: Path,
    shared: tuple[str, ...],
    env: EnvConfig,
    policy: ActorCriticPolicy,
    prepared: PreparedData,
) -> None:
    """Compare the file with the team on every event of the validation split.

    Raises:
        ExportError: If a vote, a decision or a score differs.
    """
    table = prepared.tables["validation"]
    context: Float32Array = np.zeros((len(table), len(shared)), np.float32)

    def watch(rows: IntArray, seen: Float32Array, votes: Int8Array, scores: Float64Array) -> None:
        del votes, scores
        if shared:
            context[rows] = seen[:, 0, -len(shared) :]

    rollout = collect_rollout(env, table, greedy(policy), watch)
    session = onnx_session(path)
    for start in range(0, len(table), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(table)))
        feed = raw_columns(prepared, prepared.rows["validation"][rows])
        feed |= {SHARED: context[rows]} if shared else {}
        found = dict(zip(OUTPUTS, session.run(OUTPUTS, feed), strict=True))
        _compare(rollout, rows, found)


def raw_columns(prepared: PreparedData, rows: IntArray) -> dict[str, AnyArray]:
    """The raw columns of some rows, as the file takes them: float32, and texts as objects."""
    raw, found = prepared.raw, dict[str, AnyArray]()
    for column in prepared.preprocessor.columns:
        values = np.array(raw.features[rows, raw.feature_names.index(column.name)])
        if isinstance(column, CategoricalColumn):
            names = np.array([*raw.categories[column.name], ""], dtype=object)
            values = names[np.nan_to_num(values, nan=len(names) - 1).astype(np.int64)]
        found[column.name] = values
    return found


def _compare(rollout: Rollout, rows: IntArray, found: dict[str, AnyArray]) -> None:
    decided: BoolArray = found["decision"] != rollout.decisions[rows]
    wrong = (found["votes"] != rollout.actions[rows]).any(axis=1)
    wrong |= decided & ~rollout.isolated[rows]
    far = np.abs(found["threat_score"] - rollout.scores[rows])
    if wrong.any() or not (far <= TOLERANCE).all():
        raise ExportError(
            f"the ONNX file votes or decides otherwise than the team on {int(wrong.sum())} of "
            f"{len(rows)} events of the validation split, and its scores differ by up to "
            f"{far.max():.2g}; nothing is written"
        )
