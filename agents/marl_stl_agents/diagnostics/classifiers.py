"""What several classifiers reach on the data, each alone and together."""

from __future__ import annotations

import re

import numpy as np

from marl_stl_agents.evaluation.baselines import Baseline, SupervisedBaselines, as_actions
from marl_stl_agents.evaluation.classifiers import Recipe
from marl_stl_env.config import EnvConfig, Split
from marl_stl_env.data.prepare import PreparedData

#: Training rows that gradient boosting is fitted on, at most.
MAX_ROWS = 150_000
#: Training rows that the other classifiers are fitted on, at most.
FEW_ROWS = 10_000
BOOSTING = "gradient boosting"
_FOREST = Recipe(
    "sklearn.ensemble.RandomForestClassifier",
    {"n_estimators": 50, "min_samples_leaf": 2, "n_jobs": 1, "random_state": 0},
)
_LOGISTIC = Recipe("sklearn.linear_model.LogisticRegression", {"tol": 0.01, "max_iter": 2_000})


def reference_classifiers(
    config: EnvConfig, prepared: PreparedData, split: Split, at_once: int = 2
) -> dict[str, Baseline]:
    """Calibrated classifiers at the cost-optimal threshold.

    Args:
        config: The environment.
        prepared: Its data.
        split: Where they decide.
        at_once: Classifiers that are fitted side by side.

    Returns:
        Name to decisions: boosting, a forest and a logistic regression on all features, their
        vote (the mean of their probabilities), boosting on each view, and the vote of the sensors.
    """
    views = tuple(prepared.raw.views)
    boosting = SupervisedBaselines(config, prepared, MAX_ROWS, at_once=at_once)
    boosting.fit([views, *((view,) for view in views)])
    all_features = {
        BOOSTING: boosting,
        "random forest": SupervisedBaselines(config, prepared, FEW_ROWS, _FOREST),
        "logistic regression": SupervisedBaselines(config, prepared, FEW_ROWS, _LOGISTIC),
    }
    found = {name: models.of_views(views, split) for name, models in all_features.items()}
    scores = np.mean([one.scores for one in found.values() if one.scores is not None], axis=0)
    decisions = as_actions(scores >= config.reward.threshold)
    found["vote of the classifiers"] = Baseline(decisions, scores)
    found |= {_of_view(view): boosting.of_views((view,), split) for view in views}
    found["vote of the sensors"] = boosting.evaluate(split)["supervised_vote"]
    return found


def _of_view(view: str) -> str:
    return view if re.fullmatch(r"view \d+", view) else f"view {view}"
