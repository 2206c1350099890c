"""What a team could do on ``synthetic`` if it knew the model: exact, without any training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from marl_stl_agents.redteam.rollout import normalized

from benchmarks.studies.redteam.settings import UNMET, Game
from marl_stl_env.adversary.bayes import best_response, disguised_posterior
from marl_stl_env.adversary.disguise import Disguises
from marl_stl_env.adversary.table import fitted_disguises
from marl_stl_env.config import AdversaryConfig, EnvConfig
from marl_stl_env.data.datasets.synthetic.model import posterior
from marl_stl_env.data.prepare import prepare
from marl_stl_env.types import BoolArray, Float32Array, Float64Array

#: The two exact teams.
NAIVE, KNOWING = "does not know of disguises", "knows that all are equally likely"
#: Maps raw events to the probability that they are threats.  # (rows,) float64
Score: TypeAlias = Callable[[Float32Array], Float64Array]


def exact_yardstick(game: Game) -> dict[str, Any]:
    """Exact posteriors at the cost-optimal threshold, against exact best responses.

    The team that does not know of disguises stops events by the model's own posterior. The team
    that does goes by Bayes' rule against an attacker that sends every attack as it is or in any
    disguise, all with the same probability. Attackers then come with disguises that it knows, and
    with other numbers of them, of which it knows nothing.

    Args:
        game: One on ``synthetic``.
    """
    env = EnvConfig(data=game.data, split="test")
    prepared = prepare(env)
    rows, raw = prepared.rows["test"], prepared.raw
    events, labels = np.asarray(raw.features[rows]), raw.labels[rows]
    fitted = {
        count: fitted_disguises(prepared, AdversaryConfig(disguises=count))
        for count in {game.disguises, *UNMET}
    }
    known = fitted[game.disguises]
    even = np.full(len(known) + 1, 1.0 / (len(known) + 1))

    def knowing(some: Float32Array) -> Float64Array:
        return disguised_posterior(known, even, some)

    teams: dict[str, Score] = {NAIVE: posterior, KNOWING: knowing}
    found: dict[str, Any] = {}
    for team, score in teams.items():
        benign = score(events[~labels])
        sent = {
            count: _scores(score, raw.feature_names, events[labels], disguises)
            for count, disguises in fitted.items()
        }
        effective = {count: one.effectiveness() for count, one in fitted.items()}
        plain = _reward(env, labels, benign, sent[len(known)][:, 0])
        kept = {
            count: _reward(env, labels, benign, _answer(env, effective[count], scores)) / plain
            for count, scores in sent.items()
        }
        found[team] = {
            "undisguised": plain,
            "best response": kept[len(known)] * plain,
            "lost": 1.0 - kept[len(known)],
            "unmet": {str(count): kept[count] for count in UNMET},
        }
    return found


def _scores(
    score: Score, names: tuple[str, ...], attacks: Float32Array, disguises: Disguises
) -> Float64Array:
    """Scores of attacks without and in each disguise.  # (attacks, K + 1) float64."""
    sent = [attacks, *(disguises.apply(names, attacks, k) for k in range(len(disguises)))]
    return np.stack([score(one) for one in sent], axis=1)


def _answer(env: EnvConfig, effectiveness: Float64Array, scores: Float64Array) -> Float64Array:
    """Scores of attacks as an exact best response sends them.  # (attacks,) float64."""
    best = best_response(effectiveness, scores, env.reward.threshold).astype(np.int64)
    answer: Float64Array = scores[np.arange(len(scores)), best]
    return answer


def _reward(
    env: EnvConfig, labels: BoolArray, benign: Float64Array, attacks: Float64Array
) -> float:
    """The normalised score of stopping what scores above the threshold."""
    reward, stopped = env.reward, np.zeros(len(labels), np.bool_)
    stopped[~labels], stopped[labels] = benign >= reward.threshold, attacks >= reward.threshold
    pay = np.where(
        labels,
        np.where(stopped, reward.true_positive, reward.false_negative),
        np.where(stopped, reward.false_positive, reward.true_negative),
    )
    return normalized(env, labels, float(pay.mean()))
