"""What a person sees: tables in the terminal, and the training curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from marl_stl_env.data.splits.report import SplitReport
from marl_stl_env.files import atomic_path
from marl_stl_env.stl.specs import CONJUNCTION

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("precision", "recall", "f1", "pr_auc", "reward_per_event")
#: Columns of the log that are drawn, and what they are.
CURVES = (
    ("rollout/reward_per_event", "reward per event of a sensor, sampling"),
    ("validation/reward_per_event", "validation reward per event, greedy"),
    ("validation/f1", "validation F1, greedy"),
    ("train/value_loss", "value loss, as optimised"),
    ("train/explained_variance", "explained variance"),
    ("train/entropy_loss", "entropy loss"),
)

_console = Console()


def say(text: str) -> None:
    """Print a line, without breaking paths."""
    _console.print(text, soft_wrap=True)


def show_splits(report: SplitReport) -> None:
    """Print the size and threat rate of every split."""
    for line in report.lines():
        say(line)


def show_progress(timesteps: int, figures: dict[str, Any]) -> None:
    """Print one line per rollout on the validation split."""
    say(
        f"{timesteps:>10,} agent-steps  validation: reward per event "
        f"{figures['reward_per_event']:+.3f}, F1 {figures['f1']:.3f}"
    )


def show_evaluation(result: dict[str, Any]) -> None:
    """Print the team beside its baselines, then what each sensor did."""
    title = (
        f"{result['dataset']}, {result['split']} split: {result['events']:,} events, "
        f"{result['threat_rate']:.1%} threats"
    )
    _show_policies(title, result)
    say(_relative_line(result))
    say(_replicated_line(result))
    if "response" in result:
        say(_response_line(result["response"]))
    if result["stl"]:
        show_specs(result["stl"])
    if result["byzantine"]:
        show_byzantine(result)


def _response_line(figures: dict[str, Any]) -> str:
    """How fast attacks were contained, and at what price."""
    waits = figures["steps_to_containment"]
    median, p95 = (
        "never reached" if waits[name] is None else f"{waits[name]:.0f}"
        for name in ("median", "p95")
    )
    return (
        f"response: {figures['contained']:.1%} of {figures['attacks']} attacks contained, steps to "
        f"containment: median {median}, 95 % {p95}; "
        f"{figures['threats_passed_before_containment']:.1f} threats passed before; "
        f"{figures['benign_downtime']:.1%} of benign events stopped; "
        f"{figures['analyst_budget_used']:.0%} of the analyst's budget used; "
        f"{figures['quarantines_per_entity']:.2f} quarantines per entity"
    )


def _show_policies(title: str, result: dict[str, Any]) -> None:
    table = Table(title=title)
    table.add_column("policy")
    for column in _COLUMNS:
        table.add_column(column.replace("_", " "), justify="right")
    rows = {"team (trained)": result["decision"], **result["baselines"]}
    rows |= {f"alone: {name}": figures for name, figures in result["agents"].items()}
    for name, figures in rows.items():
        cells = [f"{figures[column]:.3f}" if column in figures else "" for column in _COLUMNS]
        table.add_row(name, *cells, style="bold" if figures is result["decision"] else None)
    _console.print(table)


def show_decisions(result: dict[str, Any]) -> None:
    """Print what a team decided on new traffic, what of it was amiss, and how good it was."""
    counts = result["decisions"]
    shares = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    say(f"{result['events']:,} events of {result['input']}: {shares}")
    amiss = result["not_as_in_training"]
    if amiss["missing"]:
        names = ", ".join(amiss["missing"])
        _warn(f"{len(amiss['missing'])} columns are missing and were filled in: {names}")
    if amiss["absent"]:
        _warn(f"no number, median filled in: {_listed(amiss['absent'])}")
    if amiss["unknown"]:
        _warn(f"category taken for <other>: {_listed(amiss['unknown'])}")
    if "decision" in result:
        _show_policies(f"evaluated by its labels, {result['threat_rate']:.1%} threats", result)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} in {count:,} events" for name, count in counts.items())


def _warn(text: str) -> None:
    _console.print(f"[bold yellow]warning[/]: {escape(text)}", soft_wrap=True)


def show_specs(specs: dict[str, Any]) -> None:
    """Print how often each specification was kept, and what is certified."""
    episodes = next(iter(specs.values()))["episodes"]
    table = Table(title=f"specifications, over {episodes:,} episodes on fresh seeds")
    table.add_column("spec")
    for column in ("kept", "robustness: mean", "least", "certified"):
        table.add_column(column, justify="right")
    table.add_column("also kept by")
    for name, one in specs.items():
        robustness = one["robustness"].values()
        table.add_row(
            name,
            f"{one['satisfied']:.3f}",
            *("" if value is None else f"{value:.3f}" for value in robustness),
            "yes" if one["certified"] else "no",
            ", ".join(one["kept_by"]),
            style="bold" if name == CONJUNCTION else None,
        )
    _console.print(table)
    say(_specs_line(specs[CONJUNCTION]))


def _specs_line(together: dict[str, Any]) -> str:
    level = f"at confidence {1 - together['delta']:.0%}"
    line = (
        f"specifications: CERTIFIED {level}: all hold with probability at least "
        f"{1 - together['epsilon']:.0%}."
        if together["certified"]
        else f"specifications: NOT CERTIFIED {level}: all held in {together['satisfied']:.1%} of "
        f"{together['episodes']:,} episodes; {1 - together['epsilon']:.0%} was to be shown."
    )
    if together["kept_by"]:
        line += f" They ask nothing: {', '.join(together['kept_by'])} keeps them all."
    return line


def show_trivially_satisfied(trivial_policies: dict[str, tuple[str, ...]]) -> None:
    """Print which specifications a policy that looks at nothing keeps as well."""
    vacuous = {name: policies for name, policies in trivial_policies.items() if policies}
    parts = [f"{name} (satisfied by {', '.join(names)})" for name, names in vacuous.items()]
    say(f"specifications that ask nothing by themselves: {'; '.join(parts) or 'none'}")
    if CONJUNCTION in vacuous:
        _warn("all specifications together ask nothing; state others with --specs")


def show_byzantine(result: dict[str, Any]) -> None:
    """Print what is left of the team's reward and F1 with faulty sensors in it."""
    counts = sorted({entry["faulty"] for entry in result["byzantine"]})
    table = Table(title="with faulty sensors: reward per event (F1)")
    table.add_column("fault")
    for count in counts:
        table.add_column(f"{count} faulty", justify="right")
    rows: dict[str, list[str]] = {}
    for entry in result["byzantine"]:
        cell = f"{entry['reward_per_event']:.3f} ({entry['f1']:.3f})"
        rows.setdefault(entry["fault"], []).append(cell)
    honest = result["decision"]
    cell = f"{honest['reward_per_event']:.3f} ({honest['f1']:.3f})"
    table.add_row("none", *[cell] * len(counts), style="bold")
    for fault, cells in rows.items():
        table.add_row(fault, *cells)
    _console.print(table)


def verdict(result: dict[str, Any]) -> str:
    """One line that says whether the team learned anything, and how much of what was there."""
    constants = [
        result["baselines"][name]["reward_per_event"] for name in ("always_allow", "always_block")
    ]
    reward = result["decision"]["reward_per_event"]
    if reward <= max(constants):
        return (
            "verdict: NOT LEARNED. The team earns no more than the best constant policy "
            f"({reward:+.3f} against {max(constants):+.3f} per event)."
        )
    ratio = result.get("vote_ratio")
    if ratio is None:
        return "verdict: learned, but the supervised vote itself earns no more than a constant."
    word = "as much as" if ratio >= 1.0 else f"{ratio:.0%} of what"
    return (
        f"verdict: learned. Over the best constant policy the team earns {word} supervised "
        "classifiers with the same views and vote earn."
    )


def rotate_progress(run: Path) -> None:
    """Move the log of an interrupted training aside, before SB3's logger begins a new one."""
    current = run / "progress.csv"
    if current.exists():
        current.rename(run / f"progress.{len(list(run.glob('progress.*.csv'))) + 1:04d}.csv")


def read_progress(run: Path) -> pd.DataFrame:
    """The whole log of a run; what an interrupted part logged past its checkpoint is dropped."""
    import pandas as pd

    parts: list[pd.DataFrame] = []
    for path in [*sorted(run.glob("progress.*.csv")), run / "progress.csv"]:
        if path.stat().st_size == 0:
            continue
        part = pd.read_csv(path)
        part["steps"] = part["time/total_timesteps"].ffill()
        parts = [old[old["steps"] < part["steps"].min()] for old in parts] + [part]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"steps": []})


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


def _replicated_line(result: dict[str, Any]) -> str:
    replicated = result["replicated"]
    return (
        f"replicated-sensor control: the vote of copies of {replicated['sensor']} alone earns "
        f"{replicated['reward_per_event']:.3f} per event (F1 {replicated['f1']:.3f}); "
        f"the team's errors correlate by {result['error_correlation']:.2f}, those of copies by 1"
    )


def _relative_line(result: dict[str, Any]) -> str:
    names = {
        "normalized_score": "normalized score (oracle = 1)",
        "ceiling_ratio": "of the supervised ceiling",
        "vote_ratio": "of the supervised vote",
        "bayes_ratio": "of Bayes' rule",
        "bayes_vote_ratio": "of the vote of Bayes' rules",
    }
    parts = [
        f"{text} {result[key]:.3f}" for key, text in names.items() if result.get(key) is not None
    ]
    return "; ".join(parts)
