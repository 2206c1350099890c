"""A rule that can be asked how a sensor should vote on an event of the training split."""

from __future__ import annotations

import numpy as np

from marl_stl_agents.evaluation.baselines import SupervisedBaselines, threat_groups
from marl_stl_agents.imitation.evidence import EntityEvidence, log_odds, threshold_log_odds
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.engine import Engine
from marl_stl_env.types import Float32Array, Float64Array, IntArray


class Teacher:
    """Calibrated classifiers, one for what each sensor sees, and what is known of the entity.

    It blocks at the cost-optimal threshold of the reward. How far the evidence is from the
    threshold says how sure it is: the log-odds of its vote are the difference.

    Args:
        config: The environment that is trained in.
        prepared: Its data. Classifiers are fitted on the training split and calibrated on the
            validation split.
    """

    def __init__(self, config: EnvConfig, prepared: PreparedData) -> None:
        self._entity = EntityEvidence()
        self._threshold = threshold_log_odds(config.reward.threshold)
        groups = threat_groups(config, prepared)
        classifiers = SupervisedBaselines(config, prepared)
        classifiers.fit(groups)
        of_group = {
            group: log_odds(classifiers.probabilities(group, "train")).astype(np.float32)
            for group in dict.fromkeys(groups)
        }
        self._event: Float32Array = np.stack([of_group[one] for one in groups], axis=1)

    def block_probabilities(self, engine: Engine, observations: Float32Array) -> Float64Array:
        """How probably each sensor should block its current event, rather than allow it.

        Args:
            engine: An engine over the training split.
            observations: What its sensors see.  # (lanes, agents, width) float32

        Returns:
            # (lanes, agents) float64
        """
        lanes, agents, width = observations.shape
        rows: IntArray = engine.rows
        layout = engine.observations.layout
        known = self._entity.log_odds(layout, observations.reshape(-1, width))
        odds = self._event[rows] + known.reshape(lanes, agents) - self._threshold
        probable: Float64Array = 1 / (1 + np.exp(-odds.clip(-30, 30)))
        return probable
