"""A rule that can be asked how a sensor should act on an event of the training split."""

from __future__ import annotations

import numpy as np

from marl_stl_agents.evaluation.baselines import SupervisedBaselines, threat_groups
from marl_stl_agents.imitation.evidence import EntityEvidence, log_odds, threshold_log_odds
from marl_stl_agents.imitation.messages import MessageReader, one_hot, stated
from marl_stl_env.config import EnvConfig, Split
from marl_stl_env.data.prepare import PreparedData
from marl_stl_env.engine.engine import Engine
from marl_stl_env.types import ACTIONS, Action, BoolArray, Float32Array, Float64Array


class Teacher:
    """Calibrated classifiers, one for what each sensor sees, and what is known of the entity.

    It blocks at the cost-optimal threshold of the reward. How far the evidence is from the
    threshold says how sure it is: the log-odds of its vote are the difference. In a proposal round
    it states what a sensor's own classifier says, and votes on what all proposed.

    Args:
        config: The environment that is trained in.
        prepared: Its data. Classifiers are fitted on the training split; their calibration, and
            how proposals are read, on the validation split.
    """

    def __init__(self, config: EnvConfig, prepared: PreparedData) -> None:
        self._reward, self._entity = config.reward, EntityEvidence()
        self._threshold = threshold_log_odds(config.reward.threshold)
        self._groups = threat_groups(config, prepared)
        self._classifiers = SupervisedBaselines(config, prepared)
        self._own = self._probabilities("train")
        self._reader = self._read(prepared) if config.deliberation else None

    def action_probabilities(self, engine: Engine, observations: Float32Array) -> Float32Array:
        """How probably each sensor should take each action on its current event.

        Args:
            engine: An engine over the training split.
            observations: What its sensors see.  # (lanes, agents, width) float32

        Returns:
            # (lanes, agents, actions) float32
        """
        layout, lanes = engine.observations.layout, len(observations)
        own = self._own[engine.rows]
        odds, voting = log_odds(own), np.ones(lanes, np.bool_)
        if self._reader is not None:
            first = layout.index("voting")
            voting = observations[:, 0, first] > 0.5
            heard = observations[:, 0, first + 1 : first + 1 + engine.agents * ACTIONS]
            odds = self._reader.log_odds(odds, heard)
        known = self._entity.log_odds(layout, observations.reshape(-1, observations.shape[2]))
        return self._chosen(own, odds + known.reshape(lanes, -1), voting)

    def _chosen(self, own: Float64Array, odds: Float64Array, voting: BoolArray) -> Float32Array:
        block = 1 / (1 + np.exp(-(odds - self._threshold).clip(-30, 30)))
        proposals = one_hot(stated(own, self._reward)).reshape(*own.shape, ACTIONS)
        votes = np.zeros_like(proposals)
        votes[..., Action.BLOCK], votes[..., Action.ALLOW] = block, 1 - block
        return np.where(voting[:, None, None], votes, proposals)

    def _probabilities(self, split: Split) -> Float64Array:
        """P(threat) of every event, as each sensor's classifier has it.  # (rows, agents)."""
        self._classifiers.fit(self._groups, training=split == "train")
        of_group = {
            group: self._classifiers.probabilities(group, split)
            for group in dict.fromkeys(self._groups)
        }
        return np.stack([of_group[group] for group in self._groups], axis=1)

    def _read(self, prepared: PreparedData) -> MessageReader:
        own = self._probabilities("validation")
        messages = one_hot(stated(own, self._reward))
        return MessageReader(log_odds(own), messages, prepared.tables["validation"].labels)
