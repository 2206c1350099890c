"""The callback that records a training, evaluates its checklist, and stops at the first NaN."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from marl_stl_agents.algorithms.device.ppo import DevicePPO
from marl_stl_agents.console.diagnostics import as_markdown, show_checklist
from marl_stl_agents.diagnostics.checklist import (
    Checked,
    Checklist,
    Fault,
    Iteration,
    Setting,
    due,
    read_checklist,
    write_checklist,
)
from marl_stl_agents.diagnostics.checks import diagnosis, examine
from marl_stl_agents.diagnostics.finite import (
    LOWER_RATE,
    GradientWatch,
    check_observations,
    check_rewards,
    check_rollout,
    check_weights,
)
from marl_stl_agents.diagnostics.rollout import RolloutFacts
from marl_stl_agents.metric_names import F1, REWARD, TRUE_POSITIVES
from marl_stl_env.errors import DivergedError, NotFiniteError
from marl_stl_env.types import Action

_EVALUATED = (TRUE_POSITIVES, F1, REWARD)


class ChecklistCallback(BaseCallback):
    """Records every iteration, evaluates the checklist when it is due, and stops at a NaN or inf.

    It comes after the callback that logs the value loss in reward units, and before the one that
    evaluates and saves. So no faulty weights are saved, and the record of an iteration is on disk
    before its checkpoint: a resumed training ends with the same record.

    Args:
        run: The run directory.
        setting: What the record is compared with.
        iterations: The last iteration.
    """

    def __init__(self, run: Path, setting: Setting, iterations: int) -> None:
        super().__init__()
        self._run, self._setting, self._iterations = run, setting, iterations
        self._content = Checklist()
        self._rollout: dict[str, Any] | None = None

    def _on_training_start(self) -> None:
        trainer = self._trainer
        self._content = read_checklist(self._run)
        self._content.forget_after(self.num_timesteps)
        self._facts = RolloutFacts(trainer)
        self._on_device = isinstance(trainer, DevicePPO)
        at_once = not self._on_device or trainer.device.type == "cpu"
        self._gradients = GradientWatch(trainer.policy, at_once)

    def _on_rollout_start(self) -> None:
        # A rollout starts once the iteration before it has been learned from.
        self._close_iteration()
        self._facts.begin()
        if not self._on_device:
            self._check_observations(self._trainer._last_obs)

    def _on_step(self) -> bool:
        self._facts.step()
        if not self._on_device:  # there the host would wait at every step
            self._check_observations(self.locals["new_obs"])
        return True

    def _on_rollout_end(self) -> None:
        buffer = self._trainer.rollout_buffer
        if self._on_device:
            self._check_observations(buffer.observations)
        check_rewards(self._facts.rewards())
        check_rollout(buffer)
        self._rollout = self._facts.reduce()
        known = any(one.signal is not None for one in self._content.history)
        if not known and due(self._iteration, self._iterations):
            self._rollout |= self._facts.signal()

    def _on_training_end(self) -> None:
        self._close_iteration()
        self._gradients.close()

    def evaluated(self, metrics: dict[str, Any]) -> None:
        """Record the validation of the last iteration, before its checkpoint is saved."""
        history = self._content.history
        if history and history[-1].timesteps == self.num_timesteps:
            known = {name: float(metrics[name]) for name in _EVALUATED}
            history[-1] = replace(history[-1], evaluated=known)
            if due(history[-1].iteration, self._iterations):
                self._check()
        write_checklist(self._run, self._content)

    def failed(self, error: DivergedError) -> None:
        """Evaluate the checklist for the last time, with what ended the training."""
        if isinstance(error, NotFiniteError):
            fault = Fault(f"NaN or inf first in {error.place}", error.remedy)
        else:
            fault = Fault(str(error), LOWER_RATE)
        self._check(fault)
        write_checklist(self._run, self._content)

    @property
    def _trainer(self) -> OnPolicyAlgorithm:
        if not isinstance(self.model, OnPolicyAlgorithm):
            raise TypeError(f"the checklist needs PPO, not {type(self.model).__name__}")
        return self.model

    @property
    def _iteration(self) -> int:
        return self.num_timesteps // (self._trainer.n_steps * self._trainer.n_envs)

    def _check_observations(self, observations: Any) -> None:
        check_observations(observations, self._facts.layout, self._facts.agents)

    def _close_iteration(self) -> None:
        """Add the last rollout and its update to the record."""
        if self._rollout is None:
            return
        rollout, self._rollout = self._rollout, None
        norm = self._gradients.take()
        check_weights(self._trainer.policy)
        self.logger.record("train/gradient_norm", norm)
        power = rollout.pop("return_power")
        loss = self._logged("value_loss")
        explained = float(self.logger.name_to_value["train/explained_variance"])
        self._content.history.append(
            Iteration(
                iteration=self._iteration,
                timesteps=self.num_timesteps,
                shares={action.name: rollout.pop(action.name) for action in Action},
                explained_variance=explained if math.isfinite(explained) else None,
                value_loss=self._logged("value_loss_reward_units"),
                value_error=loss / power if power else None,
                entropy=-self._logged("entropy_loss"),
                approx_kl=self._logged("approx_kl"),
                clip_fraction=self._logged("clip_fraction"),
                gradient_norm=norm,
                **rollout,
            )
        )

    def _logged(self, name: str) -> float:
        """What the last update logged under this name.

        Raises:
            NotFiniteError: If it is no number.
        """
        value = float(self.logger.name_to_value[f"train/{name}"])
        if not math.isfinite(value):
            raise NotFiniteError(f"train/{name}", LOWER_RATE)
        return value

    def _check(self, fault: Fault | None = None) -> None:
        checks = examine(self._content.history, self._setting, fault)
        first = diagnosis(checks)
        checked = Checked(
            self._iteration, self.num_timesteps, first.name if first else None, checks, fault
        )
        self._content.checked.append(checked)
        show_checklist(checked.iteration, checks)
        for check in checks:
            if check.status != "unknown":
                holds = float(check.status == "passed")
                self.logger.record(f"checklist/{check.name}", holds, exclude="csv")
        self.logger.record("checklist/report", as_markdown(checks), exclude="csv")
