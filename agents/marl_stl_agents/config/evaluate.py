"""The configurations of an evaluation and of decisions on new traffic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import tyro

from marl_stl_agents.config.ppo import MAX_THREADS
from marl_stl_agents.config.train import Device
from marl_stl_env.config import Split
from marl_stl_env.config.shown import ShowsChanges
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_range, check_types

#: The sources that new traffic may come from.
SourceName: TypeAlias = Literal["zeek", "suricata", "nfdump", "argus", "nfstream", "table"]


@dataclass(frozen=True, repr=False)
class EvaluateConfig(ShowsChanges):
    """One evaluation of a finished run.

    Attributes:
        run: The run directory; None takes the newest under ``runs``.
        data_dir: Folder with the data files, where it has moved since the training.
        split: The split to evaluate on.
        certify: Episodes, on seeds that training never used, in which the specifications are
            monitored and certified, with honest sensors and under each kind of fault. None takes
            200 with honest sensors where the run monitored any specifications, and 0 elsewhere.
        threshold: Report the decisions at this threshold on the threat score (0 to 1); None takes
            the one that ``threshold_on`` finds.
        threshold_on: The split on which the threshold with the best mean reward is searched: never
            the test split. "off" searches none.
        epsilon: A certified specification may fail with this probability.
        delta: A certificate may be wrong with this probability.
        report: Also write one self-contained page, ``report.html``, into the run directory
            (``report-<split>.html`` for another split than the test split).
        device: Where torch computes; "auto" takes CUDA where it is there.
        threads: Threads of torch.
        faults: Faults of your own to evaluate the team under, beside the built-in ones and those
            that the run was trained with.
        plugins: Modules of your own to import beside those of the run, or in place of one of the
            same name that has moved or changed. Their code is run.
    """

    run: tyro.conf.Positional[Path | None] = None
    data_dir: Path | None = None
    split: Split = "test"
    certify: int | None = None
    threshold: float | None = None
    threshold_on: Literal["validation", "off"] = "validation"
    epsilon: float = 0.05
    delta: float = 0.05
    report: bool = False
    device: Device = "auto"
    threads: int = 1
    faults: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        check_range("threads", self.threads, 1, MAX_THREADS)
        if self.certify is not None:
            check_range("certify", self.certify, 0, 10**6)
        _check_threshold(self.threshold)
        for name in ("epsilon", "delta"):
            check_range(name, getattr(self, name), 0.0, 1.0, open_low=True)


@dataclass(frozen=True, repr=False)
class DecideConfig(ShowsChanges):
    """Decisions of a finished run on new traffic.

    Attributes:
        input: New traffic: CSV or Parquet with the columns of the run's data set, or what a sensor
            wrote (see ``source``). Labels may be left out; where they are there, the decisions are
            scored.
        run: The run directory; None takes the newest under ``runs``.
        decisions: A new file for the decisions, ``.csv``, ``.parquet`` or ``.ndjson``; None takes
            ``decisions.parquet`` in the run directory.
        input_options: How the input is written where that differs from the training files: sep,
            encoding and missing, each a text ``name=value``.
        source: What wrote the input, where it is no file as the training files: zeek, suricata,
            nfdump, argus, nfstream (a file of packets) or table (columns of your own). None takes
            that of ``mapping``.
        mapping: JSON file that leads the fields of the source to the columns of the run; None
            takes the built-in one.
        max_missing: Share of a view's columns that may be missing, 0 to 1; more is refused.
        malformed: Whether a line of the source that is no record is refused, or skipped and
            counted.
        keep: Columns of the input that stand beside the decisions.
        verdicts: Column of the input with what an analyst found out of an event: threat, benign,
            or nothing. A team learns it after its decision on the event, as in training.
        threshold: Decide "threat" where the threat score reaches this, 0 to 1; None leaves it to
            the vote. The evaluation prints the threshold that is best on validation.
        reason_columns: Columns that the reason of a decision names at most; 0 names none, which
            is faster.
        device: Where torch computes; "auto" takes CUDA where it is there.
        threads: Threads of torch.
        plugins: Modules of your own to import beside those of the run, or in place of one of the
            same name that has moved or changed. Their code is run.
    """

    input: Path
    run: tyro.conf.Positional[Path | None] = None
    decisions: Path | None = None
    keep: tuple[str, ...] = ()
    threshold: float | None = None
    reason_columns: int = 3
    device: Device = "auto"
    threads: int = 1
    input_options: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    verdicts: str | None = None
    source: SourceName | None = None
    mapping: Path | None = None
    max_missing: float = 0.5
    malformed: Literal["refuse", "skip"] = "refuse"

    def __post_init__(self) -> None:
        check_types(self)
        check_range("max_missing", self.max_missing, 0.0, 1.0)
        check_range("threads", self.threads, 1, MAX_THREADS)
        check_range("reason_columns", self.reason_columns, 0, 1000)
        _check_threshold(self.threshold)
        if self.input_options and (self.source or self.mapping):
            raise ConfigError(
                "--input-options say how a file like those of the training is written; with "
                "--source or --mapping leave them out"
            )
        if self.malformed == "skip" and not (self.source or self.mapping):
            raise ConfigError("--malformed skip needs --source or --mapping")


def _check_threshold(threshold: float | None) -> None:
    if threshold is not None:
        check_range("threshold", threshold, 0.0, 1.0)
