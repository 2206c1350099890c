"""The rule that the preset ``certified`` is compared with: learned evidence, record and verdict.

Each sensor asks a classifier, fitted on the training split and calibrated on the validation split,
how probable a threat is on the columns that it sees. To its log-odds it adds what the team knows
of the entity, and it blocks at the cost-optimal threshold of the reward.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from marl_stl_agents.evaluation.baselines import SupervisedBaselines, threat_groups
from marl_stl_agents.evaluation.rollouts import Act
from marl_stl_agents.imitation.evidence import EntityEvidence, log_odds

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.engine import Engine
from marl_stl_env.types import Action, Float32Array, Float64Array, Int8Array


@dataclass(frozen=True)
class EvidenceRule:
    """How a rule weighs what the team knows of an entity.

    Attributes:
        entity: Weights of an entity's record and verdicts.
        action: What a probable threat is answered with.
    """

    entity: EntityEvidence = field(default_factory=EntityEvidence)
    action: Action = Action.BLOCK

    def act(self, config: EnvConfig, prepared: PreparedData) -> Act:
        """The rule as the policy of every sensor.

        Args:
            config: The environment, with the dynamics of a response.
            prepared: Its data.
        """
        layout = Engine(config, prepared.tables["validation"], lanes=1).observations.layout
        sensors = [layout.index(f"sensor_{i}") for i in range(config.agents)]
        features = prepared.tables["train"].features.shape[1]
        classifiers = SupervisedBaselines(config, prepared)
        groups = threat_groups(config, prepared)
        classifiers.fit(groups)
        scorers = {seen: classifiers.scorer(seen) for seen in dict.fromkeys(groups)}
        allowed = np.int8(Action.ALLOW)

        def act(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
            sensor = observations[:, sensors].argmax(axis=1)
            probable = np.empty(len(observations))
            for seen, score in scorers.items():
                here = np.isin(sensor, [i for i, own in enumerate(groups) if own == seen])
                probable[here] = score(observations[here, :features])
            odds = log_odds(probable) + self.entity.log_odds(layout, observations)
            belief = 1 / (1 + np.exp(-odds))
            threat = belief >= config.reward.threshold
            return np.where(threat, np.int8(self.action), allowed), belief

        return act
