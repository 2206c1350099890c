"""Training and evaluation from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from marl_stl_agents.config import EvaluateConfig, TrainConfig
from marl_stl_agents.diagnostics.log import LOGGERS, LoggerLike
from marl_stl_agents.evaluation import evaluate as evaluation
from marl_stl_agents.evaluation.evaluate import Evaluation
from marl_stl_agents.evaluation.new_traffic import Team, load_team
from marl_stl_agents.evaluation.result import EvaluationResult, read_result
from marl_stl_agents.run_data import Passed
from marl_stl_agents.run_directory import VALIDATION, read_config
from marl_stl_agents.training import run as training
from marl_stl_agents.training.hooks import CallbackLike
from marl_stl_env.config import Split


@dataclass(frozen=True)
class Run:
    """A run that was trained.

    Attributes:
        path: The run directory.
        config: The settings it was trained with.
        validation: The team on the validation split; None where the training was stopped.
        table: The table that was passed, if one was.
    """

    path: Path
    config: TrainConfig
    validation: EvaluationResult | None
    table: Passed | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        done = self.validation
        reward = "stopped" if done is None else f"{done.decision.reward_per_event:.3f} per event"
        return f"Run({str(self.path)!r}, {self.config.env.agents} sensors, validation: {reward})"

    def __fspath__(self) -> str:
        """The run directory: a run can be passed wherever its path can."""
        return str(self.path)

    def team(self) -> Team:
        """The team at its best checkpoint."""
        return load_team(self.path)


def train(
    config: TrainConfig,
    *,
    table: Passed | None = None,
    callbacks: CallbackLike | Sequence[CallbackLike] = (),
    loggers: LoggerLike | Sequence[LoggerLike] = LOGGERS,
) -> Run:
    """Train a team and evaluate it on the validation split.

    Args:
        config: The run.
        table: A pandas DataFrame or a raw :class:`~marl_stl_env.TrafficTable` in place of the
            data set's files. The options of the data set "custom" say what the columns of a frame
            are: ``DataConfig(dataset="custom", dataset_options={"label": "is_attack"})``.
        callbacks: SB3 callbacks, run beside the project's own. One that returns False ends the
            training.
        loggers: "csv" (``progress.csv``), "tensorboard", "stdout", or any ``KVWriter`` of SB3.

    Returns:
        The run.

    Raises:
        ConfigError: If a callback, a logger or an option of the data is not usable.
        DataError: If the data cannot be read, split or scaled.
        DeviceError: If CUDA was asked for and is not there.
        RunError: If the run directory is taken.
    """
    path = training.train(config, table=table, callbacks=callbacks, loggers=loggers)
    file = path / VALIDATION
    return Run(path, read_config(path), read_result(file) if file.exists() else None, table)


def evaluate(
    run: Run | Path | str,
    *,
    split: Split = "test",
    table: Passed | None = None,
    settings: EvaluateConfig | None = None,
) -> Evaluation:
    """Evaluate a run on a split and write ``evaluation.json`` into it.

    Args:
        run: The run, or its directory.
        split: The split.
        table: The table that the run was trained on, where one was passed to :func:`train`; a
            :class:`Run` has it already.
        settings: How to evaluate; its ``run`` and ``split`` are those given here.

    Returns:
        The evaluation; its ``result`` is the content of ``evaluation.json``.

    Raises:
        RunError: If there is no such run, it is damaged, or its data has changed; if it was
            trained on a table that was passed, and none or another one is passed now.
        DataError: If the data cannot be read.
    """
    if isinstance(run, Run):
        table = run.table if table is None else table
        run = run.path
    asked = replace(settings or EvaluateConfig(), run=Path(run), split=split)
    return evaluation.evaluate(asked, table=table)
