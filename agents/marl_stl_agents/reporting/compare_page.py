"""Runs side by side as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marl_stl_agents.console.tables import verdict
from marl_stl_agents.reporting.comparison import FIGURES, ComparedRun, differences, warnings
from marl_stl_agents.reporting.figures import (
    FAINT,
    POLICIES,
    REWARD,
    RUN_COLOURS,
    Chart,
    as_plain,
    best_constant,
    faulty_line,
    new_figure,
    number,
    plain,
    recall_marks,
    reward_bars,
)
from marl_stl_agents.reporting.page import chart_data, render, sentence
from marl_stl_agents.reporting.training_charts import training_charts
from marl_stl_env.files import write_text


def write_comparison(runs: Sequence[ComparedRun], path: Path) -> None:
    """Write the comparison, whole or not at all."""
    write_text(path, comparison_page(runs))


def comparison_page(runs: Sequence[ComparedRun]) -> str:
    """The comparison as HTML, with all that it needs inside."""
    sections: dict[str, Any] = {
        "reward": reward_chart(runs),
        "families": family_chart(runs),
        "byzantine": byzantine_chart(runs),
        "training": training_charts({run.name: run.run for run in runs}),
    }
    figures = {run.name: run.figures for run in runs}
    rows = [(title, *(_cell(figures[run.name][title], title) for run in runs)) for title in FIGURES]
    return render(
        "compare.html",
        data={
            "evaluations": {run.name: run.result for run in runs},
            "charts": chart_data(sections),
        },
        names=[run.name for run in runs],
        result=runs[0].result,
        verdicts=[(run.name, sentence(verdict(run.result))) for run in runs],
        rows=rows,
        differing=[(name, *values) for name, values in differences(runs).items()],
        warnings=[text[0].upper() + text[1:] + "." for text in warnings(runs)],
        **sections,
    )


def _cell(value: float | None, title: str) -> str:
    return number(value, 0 if title == "training seconds" else 3)


def _colour(place: int) -> str:
    return RUN_COLOURS[place % len(RUN_COLOURS)]


def reward_chart(runs: Sequence[ComparedRun]) -> Chart:
    """The reward of every run, between the best constant and the oracle."""
    earned = {run.name: float(run.result["decision"]["reward_per_event"]) for run in runs}
    first, constant = runs[0].result["baselines"], best_constant(runs[0].result)
    oracle = first["oracle"]["reward_per_event"]
    least = min(constant, *earned.values())
    colours = [_colour(place) for place in range(len(runs))]
    figure = reward_bars(earned, colours, constant, least - 0.1 * (oracle - least), oracle)
    figure.add_vline(oracle, line={"color": FAINT, "width": 1, "dash": "dash"})
    best = max(earned, key=lambda name: earned[name])
    summary = (
        f"{best} earns most, {number(earned[best])} per event. Bars begin at the better constant "
        f"policy ({number(constant)}); the oracle earns {number(oracle)} (dashed)."
    )
    shared = [name for name in first if all(name in run.result["baselines"] for run in runs)]
    rows = [("the team", *(number(value) for value in earned.values()))]
    rows += [
        (
            POLICIES[name],
            *(number(run.result["baselines"][name]["reward_per_event"]) for run in runs),
        )
        for name in shared
    ]
    columns = ("policy", *earned)
    return Chart("reward", "Reward", summary, as_plain(figure), columns, rows)


def family_chart(runs: Sequence[ComparedRun]) -> Chart | None:
    """Recall of each family, run by run; None where the split holds no threats."""
    families = runs[0].result["families"]
    if not families:
        return None
    figure = new_figure("recall", height=110 + (18 + 10 * len(runs)) * len(families))
    for place, run in enumerate(runs):
        offset = (place - (len(runs) - 1) / 2) * 0.6 / len(runs)
        found = {name: run.result["families"][name] for name in families}
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
            f"{one['events']:,}",
            *(number(run.result["families"][name]["recall"]) for run in runs),
        )
        for name, one in families.items()
    ]
    summary = f"Found worst: {'; '.join(f'{_worst(run)} by {run.name}' for run in runs)}."
    columns = ("family", "events", *(run.name for run in runs))
    note = "Bars are 95 % intervals (Wilson)."
    return Chart(
        "families", "Recall of each attack family", summary, as_plain(figure), columns, rows, note
    )


def _worst(run: ComparedRun) -> str:
    """The family with the least recall."""
    recalls: dict[str, float] = {
        name: one["recall"] for name, one in run.result["families"].items()
    }
    return min(recalls, key=lambda name: recalls[name])


def byzantine_chart(runs: Sequence[ComparedRun]) -> Chart | None:
    """The reward under the worst fault with each number of faulty sensors."""
    if not any(run.result["byzantine"] for run in runs):
        return None
    figure = new_figure("faulty sensors", REWARD, height=360)
    points = {run.name: _worst_faults(run) for run in runs}
    for place, (name, entries) in enumerate(points.items()):
        figure.add_trace(faulty_line(name, entries, _colour(place)))
    most = max(entries[-1]["faulty"] for entries in points.values())
    figure.update_xaxes(tickmode="linear", dtick=1, range=[-0.1, most + 0.1])
    rows = [
        (
            name,
            str(one["faulty"]),
            plain(one["fault"]),
            number(one["reward_per_event"]),
            number(one["f1"]),
        )
        for name, entries in points.items()
        for one in entries
    ]
    parts = [
        f"{name} goes from {number(entries[0]['reward_per_event'])} to "
        f"{number(entries[-1]['reward_per_event'])} with {entries[-1]['faulty']} faulty"
        for name, entries in points.items()
    ]
    columns = ("run", "faulty sensors", "worst fault", REWARD, "F1")
    summary = f"Under the worst fault, {'; '.join(parts)}."
    return Chart("byzantine", "With faulty sensors", summary, as_plain(figure), columns, rows)


def _worst_faults(run: ComparedRun) -> list[dict[str, Any]]:
    """The honest team, then the worst fault with 1, 2, ... faulty sensors."""
    worst = [run.result["decision"] | {"faulty": 0, "fault": "none"}]
    entries = run.result["byzantine"]
    for count in sorted({entry["faulty"] for entry in entries}):
        alike = [entry for entry in entries if entry["faulty"] == count]
        worst.append(min(alike, key=lambda entry: float(entry["reward_per_event"])))
    return worst
