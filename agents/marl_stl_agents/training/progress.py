"""The progress bar of a training."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from marl_stl_agents.console.output import training_bar


class ProgressCallback(BaseCallback):
    """A bar over the agent-steps of a training, which says what is being done.

    It comes after the callback that evaluates and saves.

    Args:
        total: Agent-steps of the whole training.
    """

    def __init__(self, total: int) -> None:
        super().__init__()
        self._total, self._bar = total, training_bar()

    def _on_training_start(self) -> None:
        self._task = self._bar.add_task("", total=self._total, completed=self.num_timesteps)
        self._bar.start()

    def _on_rollout_start(self) -> None:
        self._bar.update(self._task, description="collecting events")

    def _on_step(self) -> bool:
        self._bar.update(self._task, completed=self.num_timesteps)
        return True

    def _on_rollout_end(self) -> None:
        self._bar.update(self._task, description="learning, then validating")

    def _on_training_end(self) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was, also where the training broke off."""
        self._bar.stop()
