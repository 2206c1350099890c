"""A trained team at work on files: decisions on new traffic, streamed from file to file."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from marl_stl_agents.config import DecideConfig
from marl_stl_agents.evaluation.drift.report import drift_summary, reference_of
from marl_stl_agents.evaluation.drift.watch import DriftWatch
from marl_stl_agents.evaluation.new_traffic.decision_file import (
    DECISIONS,
    DecisionWriter,
    check_target,
    decision_writer,
    new_file,
)
from marl_stl_agents.evaluation.new_traffic.kept import own_metrics
from marl_stl_agents.evaluation.new_traffic.rows import as_rows, check_kept
from marl_stl_agents.evaluation.new_traffic.tally import Tally
from marl_stl_agents.evaluation.new_traffic.team import Team, load_team
from marl_stl_agents.run_directory import find_run, write_json
from marl_stl_env.data.ingest.batches import Batches
from marl_stl_env.data.ingest.incoming import Chunk, IncomingTraffic, Wanted
from marl_stl_env.data.ingest.sources.adapter import SourceOptions
from marl_stl_env.data.ingest.sources.files import MalformedLines
from marl_stl_env.errors import DecidingError


def decide(settings: DecideConfig) -> tuple[Path, dict[str, Any]]:
    """Let a run's team decide on every event of ``settings.input``, in its order.

    A file may be larger than memory. What the columns of the decisions mean is said at
    :meth:`~marl_stl_agents.evaluation.new_traffic.stream.TeamStream.decide`.

    Returns:
        The file written, and the summary that stands beside it as JSON.

    Raises:
        RunError: If there is no such run, or it is damaged.
        DecidingError: If the input is empty or not in the order of time, or the decisions cannot
            be written where they should be.
        DataError: If the input cannot be read.
        OutputError: If the decisions cannot be written.
    """
    run = find_run(settings.run)
    team = load_team(
        run, device=settings.device, threads=settings.threads, plugins=settings.plugins
    )
    check_kept(settings.keep, team.env.agents)
    target = settings.decisions or run / f"{DECISIONS}.parquet"
    summary_file = check_target(target, settings.input, run)
    stream = team.stream(threshold=settings.threshold, reason_columns=settings.reason_columns)
    malformed = MalformedLines(settings.malformed == "skip")
    incoming = _open(team, settings, malformed)
    tally, reference = Tally(team.env, incoming.labelled), reference_of(run)
    watch = None if reference is None else DriftWatch(reference)
    with ExitStack() as stack:
        draft = stack.enter_context(new_file(target))
        out: DecisionWriter | None = None
        for chunk in ahead(incoming.chunks()):
            rollout, reasons = stream.decide_chunk(chunk)
            batch = as_rows(chunk, rollout, reasons)
            if out is None:
                out = stack.enter_context(decision_writer(draft, batch.schema, target.suffix))
            out.write_batch(batch)
            tally.add(chunk.table, rollout)
            if watch is not None:
                watch.add(chunk.table.features, rollout.scores)
        if out is None:
            raise DecidingError(f"{settings.input} has no event to decide on")
    summary = {
        "input": str(settings.input), "run": str(run), **tally.metrics(),
        "threshold": settings.threshold, "not_as_in_training": asdict(incoming.filled),
        "drift": None if watch is None else drift_summary(watch),
    }  # fmt: skip
    if incoming.labelled:
        summary["own_metrics"] = own_metrics(run)
    if settings.malformed == "skip":
        first = [asdict(line) for line in malformed.first]
        summary["malformed"] = {"count": malformed.count, "first": first}
    with new_file(summary_file) as draft:
        write_json(draft, summary)
    return target, summary


def _open(team: Team, settings: DecideConfig, malformed: MalformedLines) -> IncomingTraffic:
    """The input of a command."""
    wanted = Wanted(settings.keep, settings.verdicts)
    options = SourceOptions(settings.source, settings.mapping)
    source: Path | Batches = settings.input
    if options:
        further = (*settings.keep, *([settings.verdicts] if settings.verdicts else ()))
        source = team.open_source(settings.input, options, further, malformed)
    return team.open(source, wanted, settings.input_options, settings.max_missing)


def ahead(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The chunks, each read and scaled by a thread while the one before is decided on."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk
