"""What a team could do on ``synthetic`` if it knew the model: exact, without any training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from marl_stl_agents.redteam.rollout import normalized

from benchmarks.studies.redteam.settings import Game
from marl_stl_env.adversary.bayes import best_response, disguised_posterior
from marl_stl_env.adversary.table import fitted_disguises
from marl_stl_env.config import AdversaryConfig, EnvConfig
from marl_stl_env.data.datasets.synthetic.model import posterior
from marl_stl_env.data.prepare import prepare
from marl_stl_env.types import BoolArray, Float32Array, Float64Array


def exact_yardstick(game: Game) -> dict[str, Any]:
    """Exact posteriors at the cost-optimal threshold, against exact best responses.

    The team that does not know of disguises stops events by the model's own posterior. The team
    that does goes by Bayes' rule against an attacker that sends every attack as it is or in any
    disguise, all with the same probability.

    Args:
        game: One on ``synthetic``.
    """
    env = EnvConfig(data=game.data, split="test")
    prepared, adversary = prepare(env), AdversaryConfig(disguises=game.disguises)
    rows, raw = prepared.rows["test"], prepared.raw
    events, labels = np.asarray(raw.features[rows]), raw.labels[rows]
    disguises = fitted_disguises(prepared, adversary)
    count = len(disguises)
    names, attacks = raw.feature_names, events[labels]
    sent = [attacks, *(disguises.apply(names, attacks, number) for number in range(count))]
    even = np.full(count + 1, 1.0 / (count + 1))
    found: dict[str, Any] = {}

    def knowing(some: Float32Array) -> Float64Array:
        return disguised_posterior(disguises, even, some)

    teams: dict[str, Callable[[Float32Array], Float64Array]] = {
        "does not know of disguises": posterior,
        "knows that all are equally likely": knowing,
    }
    for team, score in teams.items():
        benign = score(events[~labels])
        scores = np.stack([score(one) for one in sent], axis=1)
        found[team] = _against(env, labels, benign, scores, disguises.effectiveness())
    return found


def _against(
    env: EnvConfig,
    labels: BoolArray,
    benign: Float64Array,
    scores: Float64Array,
    effectiveness: Float64Array,
) -> dict[str, float]:
    threshold = env.reward.threshold
    best = best_response(effectiveness, scores, threshold).astype(np.int64)
    chosen = {"undisguised": np.zeros(len(scores), np.int64), "best response": best}
    found = {}
    for name, disguise in chosen.items():
        stopped = np.zeros(len(labels), np.bool_)
        stopped[~labels] = benign >= threshold
        stopped[labels] = scores[np.arange(len(scores)), disguise] >= threshold
        reward = env.reward
        pay = np.where(
            labels,
            np.where(stopped, reward.true_positive, reward.false_negative),
            np.where(stopped, reward.false_positive, reward.true_negative),
        )
        found[name] = normalized(env, labels, float(pay.mean()))
    found["lost"] = 1.0 - found["best response"] / found["undisguised"]
    return found
