"""A whole team as one graph: raw columns in, votes and decision out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from marl_stl_agents.algorithms.device.heads import heads
from marl_stl_agents.checkpoints.opinion_graph import OpinionColumns
from marl_stl_env.config import EnvConfig
from marl_stl_env.consensus.rules import TABLE_AGENTS, from_support
from marl_stl_env.data.encoding import CLIP, CategoricalColumn, NumericColumn
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.engine.engine import Engine
from marl_stl_env.engine.lane_memory import MASK_COLUMNS
from marl_stl_env.errors import ExportError
from marl_stl_env.stl.shield import FALLBACK
from marl_stl_env.types import ACTIONS, THREAT_VOTE


def check_bundled(env: EnvConfig, policy: ActorCriticPolicy) -> None:
    """Refuse a team whose decision needs more than the columns of its event.

    Raises:
        ExportError: If it does, with the reason.
    """
    if isinstance(policy, RecurrentActorCriticPolicy):
        raise ExportError(
            "a policy with memory (lstm) does not fit into a bundle, which decides on each event "
            "alone; use --format onnx, whose memory goes in and comes out"
        )
    if env.consensus.weights == "reliability":
        raise ExportError(
            "votes weighted by reliability change with label feedback, which a bundle does not "
            "know; use --format onnx and the vote of this package"
        )


class Scaling(nn.Module):
    """The scaling of the training, column by column, in double precision.

    Args:
        preprocessor: The scaling.

    Attributes:
        numeric: Columns of numbers, in the order of the first input.
        categorical: Columns of categories, in the order of the second input.
    """

    def __init__(self, preprocessor: Preprocessor) -> None:
        super().__init__()
        self.median: Tensor
        self.minimum: Tensor
        self.maximum: Tensor
        self.mean: Tensor
        self.scale: Tensor
        self.symlog: Tensor
        self.order: Tensor
        columns = preprocessor.columns
        self.numeric = [column for column in columns if isinstance(column, NumericColumn)]
        self.categorical = [c for c in columns if isinstance(c, CategoricalColumn)]
        for name in ("median", "minimum", "maximum", "mean", "scale"):
            values = [getattr(column, name) for column in self.numeric]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))
        self.register_buffer("symlog", torch.tensor([c.symlog for c in self.numeric]))
        self.register_buffer("order", torch.tensor(_output_order(columns)))

    def forward(self, numbers: Tensor | None, codes: Tensor | None) -> Tensor:
        """The scaled features.

        Args:
            numbers: NaN and infinities are let through.  # (rows, numeric) float32
            codes: Place among the kept categories, their number for others.
                # (rows, categorical) int64

        Returns:
            Features as the sensors see them.  # (rows, features) float32
        """
        parts = [] if numbers is None else [self._scaled(numbers.double())]
        if codes is not None:
            for place, column in enumerate(self.categorical):
                kinds = torch.arange(len(column.outputs))
                parts.append((codes[:, place : place + 1] == kinds).float())
        return torch.cat(parts, dim=1).index_select(1, self.order)

    def _scaled(self, values: Tensor) -> Tensor:
        values = torch.where(values.isnan(), self.median, values)
        infinite = values.isinf()
        values = torch.where(infinite & (values > 0), self.maximum, values)
        values = torch.where(infinite & (values < 0), self.minimum, values)
        packed = values.sign() * values.abs().log1p()
        values = torch.where(self.symlog, packed, values)
        return ((values - self.mean) / self.scale).clamp(-CLIP, CLIP).float()


def _output_order(columns: Sequence[Any]) -> list[int]:
    """Where each feature stands if all numbers come before all categories."""
    numbers = sum(isinstance(column, NumericColumn) for column in columns)
    order, number, code = list[int](), 0, numbers
    for column in columns:
        if isinstance(column, NumericColumn):
            order.append(number)
            number += 1
        else:
            order += range(code, code + len(column.outputs))
            code += len(column.outputs)
    return order


class TeamGraph(nn.Module):
    """Scaling, second opinions, views, networks, deliberation, vote and shield, for ONNX.

    Args:
        env: The environment of the deployed team.
        engine: An engine with the columns of the team's.
        preprocessor: The scaling.
        policy: The network of every sensor.

    Attributes:
        scaling: The first step.
        shared: Names of the shared columns, which the caller gives; none for most replay teams.

    Raises:
        ExportError: If the decision needs more than the columns of its event.
    """

    def __init__(
        self, env: EnvConfig, engine: Engine, preprocessor: Preprocessor, policy: ActorCriticPolicy
    ) -> None:
        super().__init__()
        self.visible: Tensor
        self.masked: Tensor
        self.fallback: Tensor
        self.threat: Tensor
        self.table: Tensor
        self.weights: Tensor
        check_bundled(env, policy)
        self.policy, self.scaling = policy, Scaling(preprocessor)
        opinions = preprocessor.opinions
        self.opinions = None if opinions is None else OpinionColumns(opinions)
        agents, layout = env.agents, engine.observations.layout
        visible = engine.observations.visible()
        context = visible.shape[1] + agents + env.deliberation * (1 + ACTIONS * agents)
        self.shared = layout[context:]
        self._agents, self._deliberates, self._rule = agents, bool(env.deliberation), engine.rule
        self.register_buffer("visible", torch.from_numpy(visible.astype(np.float32)))
        masked = [i for i, name in enumerate(self.shared) if name in MASK_COLUMNS]
        self.register_buffer("masked", torch.tensor(masked, dtype=torch.int64))
        self.register_buffer("fallback", torch.from_numpy(FALLBACK.astype(np.int64)))
        self.register_buffer("threat", torch.from_numpy(THREAT_VOTE))
        if not engine.rule.counts_votes:
            if agents > TABLE_AGENTS:
                raise ExportError(
                    f"the own rule {engine.rule.rule!r} of {agents} sensors cannot be tabulated: "
                    f"that takes {TABLE_AGENTS} sensors or fewer"
                )
            self.register_buffer("table", torch.from_numpy(engine.rule.table.astype(np.int64)))
            self.register_buffer("weights", torch.from_numpy(engine.rule.weights))

    @property
    def parts(self) -> tuple[str, ...]:
        """The inputs: "numbers" and "codes" where there are such columns, "shared" likewise."""
        scaling = self.scaling
        there = {"numbers": scaling.numeric, "codes": scaling.categorical, "shared": self.shared}
        return tuple(name for name, columns in there.items() if columns)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decide on events.

        Args:
            *inputs: Those of :attr:`parts`: numbers (rows, numeric) float32, codes
                (rows, categorical) int64, and shared columns (rows, shared) float32.

        Returns:
            Decisions (rows,) int64, threat scores (rows,) float32, votes (rows, agents) int64.
        """
        given: Mapping[str, Tensor] = dict(zip(self.parts, inputs, strict=True))
        features = self.scaling(given.get("numbers"), given.get("codes"))
        if self.opinions is not None:
            features = torch.cat([features, self.opinions(features)], dim=1)
        shared = given.get("shared")
        proposals = None
        if self._deliberates:
            proposals = self._votes(features, shared, None)[0]
        votes, scores = self._votes(features, shared, proposals)
        return self._decided(votes, shared), scores, votes

    def _votes(
        self, features: Tensor, shared: Tensor | None, proposals: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        agents = self._agents
        seen = features[:, None, :] * self.visible
        parts = [seen, torch.eye(agents).expand(seen.shape[0], -1, -1)]
        if self._deliberates:
            flag = seen[:, :, :1] * 0 + float(proposals is not None)
            codes = seen[:, :1, :1].expand(-1, 1, ACTIONS * agents) * 0
            if proposals is not None:
                chosen = proposals[:, :, None] == torch.arange(ACTIONS)
                codes = chosen.float().reshape(-1, 1, ACTIONS * agents)
            parts += [flag, codes.expand(-1, agents, -1)]
        if shared is not None:
            if self._deliberates and proposals is None and len(self.masked):
                shared = shared.index_fill(1, self.masked, 1.0)  # a proposal is never masked
            parts.append(shared[:, None, :].expand(-1, agents, -1))
        observed = torch.cat(parts, dim=2)
        log_probs, _ = heads(self.policy, observed.reshape(-1, observed.shape[2]))
        probabilities = log_probs.softmax(dim=1)
        threat = (probabilities * self.threat).sum(dim=1).double().reshape(-1, agents)
        votes = probabilities.argmax(dim=1).reshape(-1, agents)
        return votes, threat.mean(dim=1).float()

    def _decided(self, votes: Tensor, shared: Tensor | None) -> Tensor:
        rule = self._rule
        if rule.counts_votes:
            support = [(votes == action).sum(dim=1) for action in range(ACTIONS)]
            decided: Tensor = from_support(support, rule.max_faulty, rule.threshold).long()
        else:
            decided = self.table[(votes * self.weights).sum(dim=1)]
        if shared is None or not len(self.masked):
            return decided
        allowed = shared.index_select(1, self.masked).gather(1, decided[:, None])[:, 0] > 0
        return torch.where(allowed, decided, self.fallback[decided])
