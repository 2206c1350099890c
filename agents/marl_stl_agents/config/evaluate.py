"""The configurations of an evaluation and of decisions on new traffic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from marl_stl_agents.config.ppo import MAX_THREADS
from marl_stl_agents.config.train import Device
from marl_stl_env.config import Split
from marl_stl_env.validation import check_range, check_types


@dataclass(frozen=True)
class EvaluateConfig:
    """One evaluation of a finished run.

    Attributes:
        run: The run directory; None takes the newest under ``runs``.
        data_dir: Folder with the data files, where it has moved since the training.
        split: The split to evaluate on.
        certify: Episodes, on seeds that training never used, in which the specifications are
            monitored and certified, with honest sensors and under each kind of fault. None takes
            200 with honest sensors where the run monitored any specifications, and 0 elsewhere.
        epsilon: A certified specification may fail with this probability.
        delta: A certificate may be wrong with this probability.
        report: Also write one self-contained page, ``report.html``, into the run directory
            (``report-<split>.html`` for another split than the test split).
        device: Where torch computes; "auto" takes CUDA where it is there.
        threads: Threads of torch.
    """

    run: tyro.conf.Positional[Path | None] = None
    data_dir: Path | None = None
    split: Split = "test"
    certify: int | None = None
    epsilon: float = 0.05
    delta: float = 0.05
    report: bool = False
    device: Device = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        check_types(self)
        check_range("threads", self.threads, 1, MAX_THREADS)
        if self.certify is not None:
            check_range("certify", self.certify, 0, 10**6)
        for name in ("epsilon", "delta"):
            check_range(name, getattr(self, name), 0.0, 1.0, open_low=True)


@dataclass(frozen=True)
class DecideConfig:
    """Decisions of a finished run on new traffic.

    Attributes:
        input: New traffic: CSV or Parquet with the columns of the run's data set. Labels may be
            left out; where they are there, the decisions are scored.
        run: The run directory; None takes the newest under ``runs``.
        decisions: Where to write the decisions; None takes ``decisions.parquet`` in the run
            directory.
        device: Where torch computes; "auto" takes CUDA where it is there.
        threads: Threads of torch.
    """

    input: Path
    run: tyro.conf.Positional[Path | None] = None
    decisions: Path | None = None
    device: Device = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        check_types(self)
        check_range("threads", self.threads, 1, MAX_THREADS)
