"""Upper limit of deliberation: Bayes' rule on own columns and on message symbols of the others.

``python -m benchmarks.studies.symbols --out symbols.json``

On ``synthetic`` every posterior is known exactly. Each of four sensors with one view sends the
level of its own P(threat) as a symbol. Then each decides by Bayes' rule on its view and the
symbols, and they vote. The distributions of symbols are estimated on the training split; scores are
normalised and measured on the validation split.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from marl_stl_agents.evaluation.baselines import as_actions, decision_rule
from marl_stl_agents.run_directory import write_json
from rich.console import Console
from rich.table import Table

from benchmarks.common.partial import PARTIAL
from benchmarks.common.teams import normalized
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.datasets.synthetic.model import log_joint, threat_share
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.types import Float64Array, IntArray

_COUNT = 1e-3  # keeps symbols that were never heard from being impossible


@dataclass(frozen=True)
class Settings:
    """Settings of the study.

    Attributes:
        ratios: Ratios of the odds between consecutive levels of four symbols.
        quick: One ratio, to see it work.
        out: JSON file to write.
    """

    ratios: tuple[float, ...] = (2.0, 4.0, 8.0, 16.0)
    quick: bool = False
    out: Path | None = None


def joints(prepared: PreparedData, split: str) -> list[Float64Array]:
    """Log P(kind, view) for each view of a split.  # views of (rows, kinds) float64."""
    raw = prepared.raw.take(prepared.rows[split])  # type: ignore[index] # a name of a split
    return [log_joint(raw.features, [view]) for view in prepared.raw.views]


def ladder(ratio: float, threshold: float) -> Float64Array:
    """Thresholds whose odds differ by ``ratio``, around a given middle one."""
    odds = threshold / (1.0 - threshold) * np.array([1.0 / ratio, 1.0, ratio])
    return np.asarray(odds / (1.0 + odds))


def symbols(views: list[Float64Array], thresholds: Float64Array) -> list[IntArray]:
    """The level of each sensor's posterior.  # views of (rows,) int."""
    return [np.searchsorted(thresholds, threat_share(view), side="right") for view in views]


class Exchange:
    """Sensors that know the model and the distributions of the symbols.

    Args:
        config: The environment, one view per sensor.
        prepared: Its data.
    """

    def __init__(self, config: EnvConfig, prepared: PreparedData) -> None:
        self.config, self.table = config, prepared.tables["validation"]
        self._known, self._evaluated = joints(prepared, "train"), joints(prepared, "validation")
        self._priors = log_joint(prepared.raw.features[:1], [])
        full = sum(self._known) - (len(self._known) - 1) * self._priors
        weights = np.exp(full - full.max(axis=1, keepdims=True))
        self._kinds = weights / weights.sum(axis=1, keepdims=True)

    def score(self, thresholds: Float64Array | None) -> float:
        """Score of the vote with symbols for levels between thresholds; None sends no symbols."""
        beliefs = self._evaluated
        if thresholds is not None:
            sent = symbols(self._evaluated, thresholds)
            heard = [law[said] for law, said in zip(self._laws(thresholds), sent, strict=True)]
            total = np.sum(heard, axis=0)
            beliefs = [view + total - own for view, own in zip(beliefs, heard, strict=True)]
        return self._vote(np.stack([threat_share(belief) for belief in beliefs], axis=1))

    def ceiling(self) -> float:
        """The score of Bayes' rule on all columns."""
        full = sum(self._evaluated) - (len(self._evaluated) - 1) * self._priors
        return self._vote(np.repeat(threat_share(full)[:, None], self.config.agents, axis=1))

    def _laws(self, thresholds: Float64Array) -> list[Float64Array]:
        """Log P(symbol | kind) of each sensor.  # views of (symbols, kinds) float64."""
        laws = []
        for said in symbols(self._known, thresholds):
            counts = [self._kinds[said == one].sum(axis=0) for one in range(len(thresholds) + 1)]
            smooth = np.array(counts) + _COUNT
            laws.append(np.log(smooth / smooth.sum(axis=0)))
        return laws

    def _vote(self, posteriors: Float64Array) -> float:
        actions = as_actions(posteriors >= self.config.reward.threshold)
        return normalized(self.config, self.table, decision_rule(self.config)(actions))


def study(settings: Settings) -> list[dict[str, Any]]:
    """Score of every set of symbols."""
    config = PARTIAL
    exchange, middle = Exchange(config, prepare(config)), config.reward.threshold
    ways: dict[str, Float64Array | None] = {"none: the vote": None, "2": np.array([middle])}
    for ratio in settings.ratios[:1] if settings.quick else settings.ratios:
        ways[f"4, odds {ratio:g} apart"] = ladder(ratio, middle)
    rows: list[dict[str, Any]] = [
        {
            "symbols": name,
            "thresholds": [] if cut is None else [round(float(c), 3) for c in cut],
            "normalized": exchange.score(cut),
        }
        for name, cut in ways.items()
    ]
    return [*rows, {"symbols": "all columns", "thresholds": [], "normalized": exchange.ceiling()}]


def main(settings: Settings) -> None:
    """Compute, print and write."""
    rows = study(settings)
    table = Table("symbols", "thresholds", "normalised score")
    for row in rows:
        table.add_row(row["symbols"], str(row["thresholds"]), f"{row['normalized']:.3f}")
    Console().print(table)
    if settings.out is not None:
        write_json(settings.out, {"rows": rows})


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
