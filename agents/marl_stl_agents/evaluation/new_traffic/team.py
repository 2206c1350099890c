"""A trained team: its weights, and all that it takes to decide with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy

from marl_stl_agents.algorithms.ppo import resolve_device
from marl_stl_agents.checkpoints.policy import saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint
from marl_stl_agents.config import Device, TrainConfig
from marl_stl_agents.evaluation.new_traffic.decision import Decision
from marl_stl_agents.evaluation.new_traffic.in_order import EachAlone, InOrder
from marl_stl_agents.evaluation.new_traffic.rows import blank_table
from marl_stl_agents.evaluation.new_traffic.stream import TeamStream, Verdicts
from marl_stl_agents.evaluation.rollouts import Act, greedy, threat_log_odds
from marl_stl_agents.run_data import config_at, is_published, traffic_format
from marl_stl_agents.run_directory import find_run, saved_preprocessor
from marl_stl_env.config import EnvConfig, FaultConfig
from marl_stl_env.data.ingest.batches import Batches, column_names
from marl_stl_env.data.ingest.build import Format
from marl_stl_env.data.ingest.incoming import MOST_MISSING, IncomingTraffic, Wanted
from marl_stl_env.data.ingest.one_event import EventReader
from marl_stl_env.data.ingest.sources.adapter import (
    RunColumns,
    SourceOptions,
    line_reader,
    open_source,
)
from marl_stl_env.data.ingest.sources.catalogue import FLOW
from marl_stl_env.data.ingest.sources.files import MalformedLines, as_frame
from marl_stl_env.data.ingest.sources.lines import LineReader
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.engine.engine import Engine
from marl_stl_env.envs.spaces import observation_space
from marl_stl_env.errors import DecidingError, InvalidActionError
from marl_stl_env.types import Float32Array, Int8Array
from marl_stl_env.validation import check_range

if TYPE_CHECKING:
    import pandas as pd


def load_team(
    run: PathLike[str] | str,
    *,
    device: Device = "auto",
    threads: int = 1,
    plugins: Iterable[str] = (),
) -> Team:
    """The team of a run: the checkpoint that did best on the validation split.

    The training data is not needed.

    Args:
        run: The run, or its directory.
        device: Where torch computes; "auto" takes CUDA where it is there.
        threads: Threads of torch.
        plugins: Plugins of the run that have moved or changed.

    Raises:
        RunError: If there is no such run, or it is damaged.
        DeviceError: If CUDA was asked for and is not there.
    """
    folder = find_run(Path(run))
    config, preprocessor = config_at(folder, None, plugins), saved_preprocessor(folder)
    env = deployed(config.task)
    space = observation_space(Engine(env, blank_table(preprocessor), lanes=1))
    policy = saved_policy(best_checkpoint(folder), space, resolve_device(device, threads))
    return Team(folder, config, preprocessor, policy)


def deployed(task: EnvConfig) -> EnvConfig:
    """An environment as a deployed team has it: honest sensors, and no monitor that none sees."""
    stl = replace(task.stl, monitor=task.stl.observe)
    return replace(task, faults=FaultConfig(), stl=stl)


class Team:
    """A trained team: sensors, their views, the vote, the shield and what they remember.

    Args:
        run: The run directory.
        config: The run.
        preprocessor: The scaling of its training.
        policy: The network of its sensors.

    Attributes:
        run: The run directory.
        config: The run.
        env: The environment of the run, with honest sensors.
        preprocessor: The scaling of the training.
        remembers: Whether a decision depends on the events before.
    """

    def __init__(
        self, run: Path, config: TrainConfig, preprocessor: Preprocessor, policy: ActorCriticPolicy
    ) -> None:
        self.run, self.config, self.preprocessor = run, config, preprocessor
        self.env = deployed(config.task)
        self._policy = policy
        self._own: TeamStream | None = None
        self._recurrent = isinstance(policy, RecurrentActorCriticPolicy)
        self.remembers = (
            self._recurrent
            or self.env.dynamics == "response"
            or self.env.stl.observe
            or self.env.stl.shield
            or self.env.consensus.weights == "reliability"
        )

    def __repr__(self) -> str:
        env = self.env
        return (
            f"Team({str(self.run)!r}, {env.agents} sensors, views={env.views!r}, "
            f"dynamics={env.dynamics!r}, shield={env.stl.shield})"
        )

    def decide(
        self,
        frame: pd.DataFrame,
        *,
        keep: Sequence[str] | str = (),
        verdicts: Verdicts | None = None,
        threshold: float | None = None,
        reason_columns: int = 3,
    ) -> pd.DataFrame:
        """Decide on events in their order, as a stream that begins with them.

        Args:
            frame: See :meth:`TeamStream.decide`, which says what comes back and what is raised.
            keep: Columns that stand beside the decisions, or the name of one.
            verdicts: What an analyst has found out of them.
            threshold: See :meth:`stream`.
            reason_columns: See :meth:`stream`.
        """
        stream = self.stream(threshold=threshold, reason_columns=reason_columns)
        return stream.decide(frame, keep=keep, verdicts=verdicts)

    def step(self, event: Mapping[str, Any], verdict: Any = None) -> Decision:
        """Decide on the next event of the team's own stream; see :meth:`TeamStream.step`.

        Args:
            event: Column to value, with the columns of the training.
            verdict: What an analyst has found out of it.
        """
        if self._own is None:
            self._own = self.stream(specifications=True)
        return self._own.step(event, verdict)

    def stream(
        self,
        *,
        threshold: float | None = None,
        reason_columns: int = 3,
        specifications: bool = False,
    ) -> TeamStream:
        """A stream of events to decide on, call after call.

        Args:
            threshold: Decide "threat" where the threat score reaches this, 0 to 1; None leaves it
                to the vote.
            reason_columns: Columns that a reason names at most; 0 names none, which is faster. A
                policy with memory (LSTM) names none.
            specifications: Monitor the specifications of a team that remembers, where its run did,
                also where no sensor sees them.

        Raises:
            ConfigError: If a number is out of range.
            DecidingError: If a threshold is to be used where decisions change what comes next.
        """
        check_range("reason_columns", reason_columns, 0, 1000)
        if threshold is not None:
            check_range("threshold", threshold, 0.0, 1.0)
            if self.env.dynamics == "response" or self.env.stl.shield:
                raise DecidingError(
                    f"threshold={threshold:g} with a response or a shield: there decisions change "
                    "what comes next, and only the vote was trained; leave the threshold out"
                )
        blank, env = blank_table(self.preprocessor), self.env
        if specifications and self.remembers:
            env = replace(env, stl=replace(env.stl, monitor=self.config.task.stl.monitor))
        kind = InOrder if self.remembers else EachAlone
        decider = kind(env, self._policy, blank)
        log_odds = None if self._recurrent else threat_log_odds(self._policy)
        return TeamStream(
            env, self.preprocessor, decider, self.open, log_odds, threshold, reason_columns,
            EventReader(self.written, self.preprocessor, env.dynamics == "response"),
        )  # fmt: skip

    @property
    def written(self) -> Format:
        """How the files of the run's data set are written."""
        return traffic_format(self.run, self.config.env.data, ())

    def open(
        self,
        source: Path | Any,
        wanted: Wanted,
        options: Sequence[str] = (),
        most_missing: float = MOST_MISSING,
    ) -> IncomingTraffic:
        """Open new traffic: a file as those of the run's data set are written, or a data frame.

        Args:
            source: The file, the pandas DataFrame, or what :meth:`open_source` or
                ``LineReader.batches`` gives.
            wanted: What is read beside what the team needs.
            options: How a file is written where that differs, each ``name=value``.
            most_missing: Share of a view's columns that may be missing, 0 to 1.

        Raises:
            DataError: If it cannot be read, or more columns are missing.
        """
        data = self.config.env.data
        form = traffic_format(self.run, data, tuple(options))
        if isinstance(source, Batches):
            form = replace(form, times=())  # its times are seconds
        isolates = self.env.dynamics == "response"
        also = replace(wanted, times=self.remembers, entities=isolates)
        name, scaling = data.dataset, self.preprocessor
        return IncomingTraffic(source, name, form, scaling, also, most_missing)

    def open_source(
        self, path: Path, options: SourceOptions, further: Sequence[str], malformed: MalformedLines
    ) -> Batches:
        """Open what a sensor of the network wrote, led to the columns of the run.

        Args:
            path: The file.
            options: What wrote it, and the mapping of its fields.
            further: Fields that are read beside the columns of the run.
            malformed: Takes the lines that are no records.

        Raises:
            DataError: If it cannot be read, or its fields do not lead to these columns.
            MissingLibraryError: If nfstream is needed and not installed.
        """
        return open_source(path, options, self._columns(further), malformed)

    def line_reader(
        self, file: str, options: SourceOptions, further: Sequence[str] = ()
    ) -> LineReader:
        """A reader of the lines of a growing file, led to the columns of the run.

        Args:
            file: Name of the file, for messages.
            options: What wrote it, and the mapping of its fields.
            further: Fields that are read beside the columns of the run.

        Raises:
            MappingError: If its fields do not lead to these columns.
        """
        return line_reader(file, options, self._columns(further))

    def _columns(self, further: Sequence[str]) -> RunColumns:
        data = self.config.env.data
        form = traffic_format(self.run, data, ())
        schema = data.dataset if is_published(self.run, data) else FLOW
        return RunColumns(self.preprocessor, form, schema, column_names(further))

    def read(
        self,
        path: Path | str,
        source: str | None = None,
        *,
        mapping: Path | str | None = None,
        keep: Sequence[str] | str = (),
        skip_malformed: bool = False,
    ) -> pd.DataFrame:
        """What a sensor of the network wrote, as a frame for :meth:`decide`.

        Args:
            path: The file.
            source: "zeek", "suricata", "nfdump", "argus", "nfstream" (a file of packets) or
                "table"; None takes that of the mapping, or a table.
            mapping: Mapping file; None takes the built-in mapping to the run's columns.
            keep: Fields that stand in the frame beside the columns of the run, or one of them.
            skip_malformed: Pass over lines that are no records; otherwise the first is an error.

        Raises:
            DataError: If it cannot be read, or its fields do not lead to the run's columns.
            MissingLibraryError: If nfstream is needed and not installed.
        """
        options = SourceOptions(source, None if mapping is None else Path(mapping))
        malformed = MalformedLines(skip_malformed)
        keep = (keep,) if isinstance(keep, str) else keep
        return as_frame(self.open_source(Path(path), options, keep, malformed))

    def act(self, observations: Float32Array) -> Int8Array:
        """The actions of the sensors on what they see.

        A policy with memory begins without one in each call; :meth:`actor` remembers.

        Args:
            observations: Of whole teams, as the environment gives them.
                # (n, agents, width) float32

        Returns:
            The most probable actions.  # (n, agents) int8

        Raises:
            InvalidActionError: If the observations are not those of this team.
        """
        width = self._policy.observation_space.shape
        seen = np.asarray(observations)
        if seen.ndim != 3 or seen.shape[1:] != (self.env.agents, *(width or ())):
            raise InvalidActionError(
                f"observations must be (n, {self.env.agents}, {(width or (0,))[0]}), not "
                f"{seen.shape}: those of {self.env.agents} sensors in the run's environment"
            )
        flat = seen.astype(np.float32, copy=False).reshape(-1, seen.shape[2])
        chosen, _ = self.actor()(flat)
        return chosen.reshape(seen.shape[:2])

    def actor(self) -> Act:
        """The policy of every sensor; one with memory remembers from call to call."""
        return greedy(self._policy)
