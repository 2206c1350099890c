"""Shows what is known of the data as soon as it is known."""

from __future__ import annotations

from types import TracebackType

from stable_baselines3.common.callbacks import BaseCallback

from marl_stl_agents.config import TrainConfig
from marl_stl_agents.console.diagnostics import show_facts, show_references
from marl_stl_agents.console.output import say
from marl_stl_agents.console.tables import show_splits
from marl_stl_agents.diagnostics.background import BackgroundPreflight
from marl_stl_agents.diagnostics.facts import DataFacts
from marl_stl_env.data.prepare import PreparedData


class DataCheck:
    """The preflight of a run: facts before the training, what classifiers reach when it is known.

    A context; on leaving it, what is still being computed is given up.

    Args:
        config: The run.
        prepared: Its data.
    """

    def __init__(self, config: TrainConfig, prepared: PreparedData) -> None:
        self._pending: BackgroundPreflight | None = None
        if not config.preflight:
            show_splits(prepared.report)
            return
        show_facts(DataFacts.of(prepared))
        self._pending = BackgroundPreflight(config.task, prepared, lambda step: say(f"{step} ..."))
        self._shown = False
        self.show_if_known()

    def __enter__(self) -> DataCheck:
        """Nothing more."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what is still being computed."""
        if self._pending is not None:
            self._pending.close()

    def show_if_known(self) -> None:
        """Show the references once, if they are known."""
        if self._pending is not None and not self._shown and self._pending.poll() is not None:
            self.show()

    def show(self) -> None:
        """Show the references once; wait for them."""
        if self._pending is not None and not self._shown:
            self._shown = True
            show_references(self._pending.wait())


class DataCheckCallback(BaseCallback):
    """Shows the references between two iterations.

    Args:
        check: What shows them.
    """

    def __init__(self, check: DataCheck) -> None:
        super().__init__()
        self._check = check

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._check.show_if_known()
