"""The comparison of runs as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marl_stl_agents.console.seeds import (
    DIFFERENCE_COLUMNS,
    P_VALUE_NOTE,
    difference_rows,
    group_rows,
)
from marl_stl_agents.console.sentences import verdict_sentence
from marl_stl_agents.evaluation.result import FaultMetrics, as_json, worst_fault
from marl_stl_agents.reporting.comparison import METRICS, ComparedRun, differences, warnings
from marl_stl_agents.reporting.figures import (
    FAINT,
    REWARD,
    RUN_COLOURS,
    Chart,
    as_plain,
    faulty_line,
    new_figure,
    number,
    recall_marks,
    reward_bars,
)
from marl_stl_agents.reporting.groups import Comparison
from marl_stl_agents.reporting.page import chart_data, render
from marl_stl_agents.reporting.training_charts import training_charts
from marl_stl_env.files import write_text


def write_comparison(
    runs: Sequence[ComparedRun], path: Path, groups: Comparison | None = None
) -> None:
    """Write the comparison, whole or not at all."""
    write_text(path, comparison_page(runs, groups))


def comparison_page(runs: Sequence[ComparedRun], groups: Comparison | None = None) -> str:
    """The comparison as HTML that loads no other file.

    Args:
        runs: The runs, those of all groups.
        groups: Estimates and tests, where the runs are those of several seeds.
    """
    sections: dict[str, Any] = {
        "reward": reward_chart(runs),
        "families": family_chart(runs),
        "byzantine": byzantine_chart(runs),
        "training": training_charts({run.name: run.run for run in runs}),
    }
    metrics = {run.name: run.metrics for run in runs}
    rows = [(title, *(_cell(metrics[run.name][title], title) for run in runs)) for title in METRICS]
    return render(
        "compare.html",
        data={
            "evaluations": {run.name: as_json(run.result) for run in runs},
            "charts": chart_data(sections),
        },
        groups=_groups(groups),
        names=[run.name for run in runs],
        result=runs[0].result,
        verdicts=[(run.name, verdict_sentence(run.result)) for run in runs],
        rows=rows,
        differing=[(name, *values) for name, values in differences(runs).items()],
        warnings=[text[0].upper() + text[1:] + "." for text in warnings(runs)],
        **sections,
    )


def _groups(found: Comparison | None) -> dict[str, Any]:
    """Columns, rows and notes of the section on groups; nothing without groups."""
    if found is None:
        return {}
    counts = [len(next(iter(one.values())).values) for one in found.groups.values()]
    tests = found.differences
    return {
        "columns": ["metric", *found.groups],
        "rows": [(title, *cells) for title, cells in group_rows(found.groups)],
        "counts": ", ".join(
            f"{name}: {count} {'run' if count == 1 else 'runs'}"
            for name, count in zip(found.groups, counts, strict=True)
        ),
        "tests": ["reference", *DIFFERENCE_COLUMNS],
        "found": [
            (one.reference, *row) for one, row in zip(tests, difference_rows(tests), strict=True)
        ],
        "note": f"{P_VALUE_NOTE} {min(one.least_p_value for one in tests):.3g}." if tests else "",
    }


def _cell(value: float | None, title: str) -> str:
    return number(value, 0 if title == "training seconds" else 3)


def _colour(place: int) -> str:
    return RUN_COLOURS[place % len(RUN_COLOURS)]


def reward_chart(runs: Sequence[ComparedRun]) -> Chart:
    """The reward of every run, between the best constant policy and the oracle."""
    rewards = {run.name: run.result.decision.reward_per_event for run in runs}
    first, constant = runs[0].result.baselines, runs[0].result.best_constant
    oracle = first["oracle"].reward_per_event
    least = min(constant, *rewards.values())
    colours = [_colour(place) for place in range(len(runs))]
    figure = reward_bars(rewards, colours, constant, least - 0.1 * (oracle - least), oracle)
    figure.add_vline(oracle, line={"color": FAINT, "width": 1, "dash": "dash"})
    best = max(rewards, key=lambda name: rewards[name])
    summary = (
        f"Highest mean reward per event: {best}, {number(rewards[best])}. Bars begin at the best "
        f"constant policy ({number(constant)}); the oracle reaches {number(oracle)} (dashed)."
    )
    shared = [name for name in first if all(name in run.result.baselines for run in runs)]
    rows = [("team", *(number(value) for value in rewards.values()))]
    rows += [
        (name, *(number(run.result.baselines[name].reward_per_event) for run in runs))
        for name in shared
    ]
    columns = ("policy", *rewards)
    return Chart("reward", "Reward", summary, as_plain(figure), columns, rows)


def family_chart(runs: Sequence[ComparedRun]) -> Chart | None:
    """Recall of each family and run; None if the split has no threats."""
    families = runs[0].result.families
    if not families:
        return None
    figure = new_figure("recall", height=110 + (18 + 10 * len(runs)) * len(families))
    for place, run in enumerate(runs):
        offset = (place - (len(runs) - 1) / 2) * 0.6 / len(runs)
        found = {name: run.result.families[name] for name in families}
        places = [row + offset for row in range(len(found))]
        figure.add_trace(recall_marks(found, places, run.name, _colour(place)))
    figure.update_xaxes(range=[-0.03, 1.03])
    figure.update_yaxes(
        tickvals=list(range(len(families))),
        ticktext=list(families),
        range=[len(families) - 0.4, -0.6],
    )
    rows = [
        (
            name,
            f"{one.events:,}",
            *(number(run.result.families[name].recall) for run in runs),
        )
        for name, one in families.items()
    ]
    summary = f"Lowest recall: {'; '.join(f'{_worst(run)} ({run.name})' for run in runs)}."
    columns = ("family", "events", *(run.name for run in runs))
    note = "Bars are 95 % intervals (Wilson)."
    return Chart(
        "families", "Recall of each attack family", summary, as_plain(figure), columns, rows, note
    )


def _worst(run: ComparedRun) -> str:
    """The family with the lowest recall."""
    families = run.result.families
    return min(families, key=lambda name: families[name].recall)


def byzantine_chart(runs: Sequence[ComparedRun]) -> Chart | None:
    """Reward against the number of faulty sensors, under the worst fault at each number."""
    if not any(run.result.byzantine for run in runs):
        return None
    figure = new_figure("faulty sensors", REWARD, height=360)
    rows, parts, most = [], [], 0
    for place, run in enumerate(runs):
        honest, entries = run.result.decision, _worst_faults(run)
        figure.add_trace(faulty_line(run.name, honest.reward_per_event, entries, _colour(place)))
        rows.append((run.name, "0", "none", number(honest.reward_per_event), number(honest.f1)))
        rows += [
            (run.name, str(one.faulty), one.fault, number(one.reward_per_event), number(one.f1))
            for one in entries
        ]
        change = f"{run.name}: {number(honest.reward_per_event)} without faults"
        if entries:
            last = entries[-1]
            change += f", {number(last.reward_per_event)} with {last.faulty} faulty"
            most = max(most, last.faulty)
        parts.append(change)
    figure.update_xaxes(tickmode="linear", dtick=1, range=[-0.1, most + 0.1])
    columns = ("run", "faulty sensors", "worst fault", REWARD, "F1")
    summary = f"Mean reward per event under the worst fault. {'; '.join(parts)}."
    return Chart("byzantine", "With faulty sensors", summary, as_plain(figure), columns, rows)


def _worst_faults(run: ComparedRun) -> list[FaultMetrics]:
    """The worst fault for each number of faulty sensors, ascending."""
    entries = run.result.byzantine
    worst = (
        worst_fault([entry for entry in entries if entry.faulty == count])
        for count in sorted({entry.faulty for entry in entries})
    )
    return [entry for entry in worst if entry is not None]
