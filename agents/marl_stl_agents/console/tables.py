"""Results and progress as tables and lines in a terminal, and the training curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from marl_stl_agents.console.drift import show_drift
from marl_stl_agents.console.output import say, show, warn
from marl_stl_agents.console.sentences import (
    actions_sentence,
    certificate_sentence,
    operating_point_sentence,
    relative_lines,
    tolerance_sentence,
    verdict_sentence,
)
from marl_stl_agents.evaluation.drift.report import without_reference
from marl_stl_agents.evaluation.result import (
    Containment,
    EvaluationResult,
    FaultMetrics,
    Metrics,
    SpecResult,
)
from marl_stl_agents.metric_names import F1, REWARD
from marl_stl_agents.run_directory import PROGRESS
from marl_stl_env.data.splits.report import SplitReport
from marl_stl_env.errors import RunError
from marl_stl_env.files import atomic_path
from marl_stl_env.stl.specs import CONJUNCTION

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("precision", "recall", F1, "pr_auc", REWARD)
#: Columns of the log that are drawn, and their titles.
CURVES = (
    (f"rollout/{REWARD}", "reward per event of a sensor, sampled actions"),
    (f"validation/{REWARD}", "validation reward per event, greedy actions"),
    (f"validation/{F1}", "validation F1, greedy actions"),
    ("train/value_loss", "value loss, normalised rewards"),
    ("train/explained_variance", "explained variance"),
    ("train/entropy_loss", "entropy loss"),
)


def show_splits(report: SplitReport) -> None:
    """Print the size and threat rate of every split."""
    for line in report.lines():
        say(line)


def show_progress(timesteps: int, metrics: Mapping[str, float]) -> None:
    """Print one line per evaluation on the validation split."""
    say(
        f"{timesteps:>10,} agent-steps  validation: reward per event "
        f"{metrics[REWARD]:+.3f}, F1 {metrics[F1]:.3f}"
    )


def show_evaluation(result: EvaluationResult) -> None:
    """Print a result: policies, faulty sensors, specifications and, last, the verdict."""
    _show_policies(
        f"{result.dataset}, {result.split} split: {result.events:,} events, "
        f"{result.threat_rate:.1%} threats",
        {"team": result.decision, **result.baselines}
        | {f"alone: {name}": one for name, one in result.agents.items()},
    )
    say(actions_sentence(result))
    for ratio, words in relative_lines(result):
        say(f"{ratio:.3f} {words}")
    if result.operating_point is not None:
        say(operating_point_sentence(result))
    if result.replicated is not None:
        say(_replicated_line(result))
    if result.response is not None:
        say(_response_line(result.response))
    if result.stl:
        show_specs(result.stl)
    if result.stl_byzantine:
        show_specs_under_faults(result)
    if result.byzantine:
        show_byzantine(result.decision, result.byzantine)
    if intolerant := tolerance_sentence(result):
        warn(intolerant)
    say(f"verdict: {verdict_sentence(result)}")


def _response_line(response: Containment) -> str:
    """How fast attacks were contained, and at what cost."""
    waits = response.steps_to_containment
    median, p95 = (
        "never reached" if wait is None else f"{wait:.0f}" for wait in (waits.median, waits.p95)
    )
    return (
        f"response: {response.contained:.1%} of {response.attacks} attacks contained; steps to "
        f"containment: median {median}, 95 % {p95}; "
        f"{response.threats_passed_before_containment:.1f} threats passed before; "
        f"{response.benign_downtime:.1%} of benign events stopped; "
        f"{response.analyst_budget_used:.0%} of the analyst's budget used; "
        f"{response.quarantines_per_entity:.2f} quarantines per entity"
    )


def _replicated_line(result: EvaluationResult) -> str:
    control = result.replicated
    if control is None:
        return ""
    return (
        f"replicated-sensor control: copies of {control.sensor} under the same vote reach "
        f"{control.reward_per_event:.3f} per event (F1 {control.f1:.3f}); error correlation of "
        f"the team's sensors {result.error_correlation:.2f}, of copies 1"
    )


def _show_policies(title: str, policies: Mapping[str, Metrics]) -> None:
    table = Table(title=title)
    table.add_column("policy")
    for column in _COLUMNS:
        table.add_column(column.replace("_", " "), justify="right")
    for name, metrics in policies.items():
        values = (getattr(metrics, column) for column in _COLUMNS)
        cells = ["" if value is None else f"{value:.3f}" for value in values]
        table.add_row(name, *cells, style="bold" if name == "team" else None)
    show(table)


def show_specs_under_faults(result: EvaluationResult) -> None:
    """Print how often all specifications were satisfied under each kind of fault."""
    first = result.stl_byzantine[0]
    names = list(first.satisfied)
    table = Table(
        title=f"specifications with {first.faulty} of {len(result.agents)} sensors faulty, "
        f"{first.episodes} episodes each"
    )
    table.add_column("fault")
    for column in ("all satisfied", "certified", "at least", "reward per event", *names):
        table.add_column(column, justify="right")
    for one in result.stl_byzantine:
        table.add_row(
            one.fault,
            f"{one.conjunction:.3f}",
            "yes" if one.certified else "no",
            f"{one.lower_bound:.3f}",
            f"{one.reward_per_event:.3f}",
            *(f"{one.satisfied[name]:.3f}" for name in names),
        )
    show(table)


def show_decisions(result: Mapping[str, Any]) -> None:
    """Print the decisions on new traffic, what was filled in, and, with labels, the metrics."""
    counts = result["decisions"]
    shares = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    say(f"{result['events']:,} events of {result['input']}: {shares}")
    filled = result["not_as_in_training"]
    if filled["missing"]:
        names = ", ".join(filled["missing"])
        warn(f"columns that are missing and were filled in: {names}")
    if filled["absent"]:
        warn(f"not a number, replaced by the median: {_listed(filled['absent'])}")
    if filled["unknown"]:
        warn(f"unknown category, taken as <other>: {_listed(filled['unknown'])}")
    malformed = result.get("malformed", {"count": 0})
    if malformed["count"]:
        one = malformed["first"][0]
        warn(
            f"{malformed['count']:,} lines are no records and were skipped; the first is line "
            f"{one['line']:,}: {one['problem']}"
        )
    show_drift(result["drift"], without_reference(Path(result["run"])))
    if "decision" in result:
        rows = {"team": result["decision"]}
        own = dict(result["own_metrics"] or {})
        if own:
            del own["threat_rate"]
            rows[f"team, own {own.pop('split')} split"] = own
        rows |= result["baselines"]
        rows |= {f"alone: {name}": one for name, one in result["agents"].items()}
        _show_policies(
            f"compared with the labels, {result['threat_rate']:.1%} threats",
            {name: Metrics(**one) for name, one in rows.items()},
        )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} in {count:,} events" for name, count in counts.items())


def show_specs(specs: Mapping[str, SpecResult]) -> None:
    """Print how often each specification was satisfied, and what is certified."""
    episodes = specs[CONJUNCTION].episodes
    table = Table(title=f"specifications, {episodes:,} episodes on new seeds")
    table.add_column("spec")
    for column in ("satisfied", "mean robustness", "least", "certified"):
        table.add_column(column, justify="right")
    table.add_column("trivial policies that satisfy it")
    for name, one in specs.items():
        robustness = (one.robustness.mean, one.robustness.min)
        table.add_row(
            name,
            f"{one.satisfied:.3f}",
            *("" if value is None else f"{value:z.3f}" for value in robustness),
            "yes" if one.certified else "no",
            ", ".join(one.kept_by),
            style="bold" if name == CONJUNCTION else None,
        )
    show(table)
    # No robustness at all: the formula begins later than the longest episode ended.
    idle = [n for n, one in specs.items() if one.robustness.min is None and one.satisfied == 1.0]
    if idle:
        warn(
            f"every episode ended before it counted: {', '.join(idle)}. Satisfied says nothing "
            "there; use a longer --episode-length, or a formula that begins earlier"
        )
    say(f"specifications: {certificate_sentence(specs[CONJUNCTION])}")


def show_trivially_satisfied(trivial_policies: Mapping[str, tuple[str, ...]]) -> None:
    """Print which specifications are vacuous: a trivial policy satisfies them too."""
    vacuous = {name: policies for name, policies in trivial_policies.items() if policies}
    parts = [f"{name} (satisfied by {', '.join(names)})" for name, names in vacuous.items()]
    say(f"vacuous specifications: {'; '.join(parts) or 'none'}")
    if CONJUNCTION in vacuous:
        warn("all specifications together are vacuous; state others with --specs")


def show_byzantine(honest: Metrics, entries: tuple[FaultMetrics, ...]) -> None:
    """Print the team's reward and F1 with faulty sensors among it."""
    counts = sorted({entry.faulty for entry in entries})
    table = Table(title="with faulty sensors: reward per event (F1)")
    table.add_column("fault")
    for count in counts:
        table.add_column(f"{count} faulty", justify="right")
    rows: dict[str, list[str]] = {}
    for entry in entries:
        rows.setdefault(entry.fault, []).append(_cell(entry))
    table.add_row("none", *[_cell(honest)] * len(counts), style="bold")
    for fault, cells in rows.items():
        table.add_row(fault, *cells)
    show(table)


def _cell(metrics: Metrics | FaultMetrics) -> str:
    return f"{metrics.reward_per_event:.3f} ({metrics.f1:.3f})"


def read_progress(run: Path) -> pd.DataFrame:
    """The whole log of a run, with the agent-steps of every row as ``steps``.

    Raises:
        RunError: If it is damaged.
    """
    import pandas as pd

    path = run / PROGRESS
    if not path.exists() or path.stat().st_size == 0:
        return pd.DataFrame({"steps": []})
    try:
        progress = pd.read_csv(path)
        return progress.assign(steps=progress["time/total_timesteps"].astype(float).ffill())
    except (ValueError, KeyError) as error:
        raise RunError(f"{path} is damaged: {error!r}; train the run anew for its curves") from None


def save_curves(run: Path) -> None:
    """Draw the training curves into ``curves.png``."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    progress = read_progress(run)
    steps = progress["steps"]
    figure = Figure(figsize=(11, 6), layout="constrained")
    for axis, (column, title) in zip(figure.subplots(2, 3).flat, CURVES, strict=True):
        if column in progress:
            known = progress[column].notna()
            axis.plot(steps[known], progress[column][known], marker=".")
        axis.set_title(title)
        axis.set_xlabel("agent-steps")
        axis.xaxis.set_major_formatter(EngFormatter())
        axis.grid(alpha=0.3)
    with atomic_path(run / "curves.png") as draft:
        figure.savefig(draft, dpi=120)
