"""Runs side by side as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.comparison import FIGURES, ComparedRun, differences, warnings
from agents.report import verdict
from agents.report_figures import (
    FAINT,
    INK,
    POLICIES,
    SERIES,
    Chart,
    as_plain,
    new_figure,
    number,
)
from agents.report_numbers import recall_interval
from agents.report_page import chart_data, render, sentence
from agents.report_training import training_charts
from marl_stl_env.files import write_text

_REWARD = "reward per event"


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
    rows = [
        (title, *(_cell(figures[run.name][title], title) for run in runs)) for title in FIGURES
    ]
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
    return SERIES[place % len(SERIES)]


def reward_chart(runs: Sequence[ComparedRun]) -> Chart:
    """The reward of every run, between the best constant and the oracle."""
    from plotly import graph_objects as go

    earned = {run.name: run.result["decision"]["reward_per_event"] for run in runs}
    first = runs[0].result["baselines"]
    constant = max(first[f"always_{word}"]["reward_per_event"] for word in ("allow", "block"))
    oracle = first["oracle"]["reward_per_event"]
    names = list(reversed(earned))
    figure = new_figure(_REWARD, height=100 + 38 * len(names), showlegend=False)
    figure.update_layout(margin_r=48)
    figure.add_trace(
        go.Bar(
            x=[earned[name] - constant for name in names],
            base=[constant] * len(names),
            y=names,
            orientation="h",
            marker={"color": [_colour(list(earned).index(name)) for name in names]},
            customdata=[earned[name] for name in names],
            hovertemplate="%{y}: %{customdata:.4f}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[max(earned[name], constant) for name in names],
            y=names,
            mode="text",
            text=[f" {number(earned[name])}" for name in names],
            textposition="middle right",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.add_vline(constant, line={"color": INK, "width": 1, "dash": "dot"})
    figure.add_vline(oracle, line={"color": FAINT, "width": 1, "dash": "dash"})
    figure.update_yaxes(showgrid=False, type="category")
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
    from plotly import graph_objects as go

    families = list(runs[0].result["families"])
    if not families:
        return None
    figure = new_figure("recall", height=110 + (18 + 10 * len(runs)) * len(families))
    for place, run in enumerate(runs):
        found = run.result["families"]
        recalls = [found[name]["recall"] for name in families]
        spans = [
            recall_interval(round(found[name]["recall"] * found[name]["events"]),
                            found[name]["events"])
            for name in families
        ]  # fmt: skip
        offset = (place - (len(runs) - 1) / 2) * 0.6 / len(runs)
        figure.add_trace(
            go.Scatter(
                x=recalls,
                y=[row + offset for row in range(len(families))],
                mode="markers",
                name=run.name,
                marker={"color": _colour(place), "size": 9},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [high - one for one, (_, high) in zip(recalls, spans, strict=True)],
                    "arrayminus": [one - low for one, (low, _) in zip(recalls, spans, strict=True)],
                    "color": _colour(place),
                    "thickness": 1.4,
                    "width": 3,
                },
                customdata=families,
                hovertemplate="%{fullData.name}, %{customdata}: %{x:.3f}<extra></extra>",
            )
        )
    figure.update_xaxes(range=[-0.03, 1.03])
    figure.update_yaxes(
        tickvals=list(range(len(families))),
        ticktext=families,
        range=[len(families) - 0.4, -0.6],
    )
    first = runs[0].result["families"]
    rows = [
        (name, f"{first[name]['events']:,}",
         *(number(run.result["families"][name]["recall"]) for run in runs))
        for name in families
    ]  # fmt: skip
    worst = {
        run.name: min(run.result["families"], key=lambda name, run=run: run.result["families"][name]["recall"])  # type: ignore[misc]
        for run in runs
    }
    summary = "Found worst: " + "; ".join(f"{one} by {name}" for name, one in worst.items()) + "."
    columns = ("family", "events", *(run.name for run in runs))
    note = "Bars are 95 % intervals (Wilson)."
    return Chart(
        "families", "Recall of each attack family", summary, as_plain(figure), columns, rows, note
    )


def byzantine_chart(runs: Sequence[ComparedRun]) -> Chart | None:
    """The reward under the worst fault with each number of faulty sensors."""
    from plotly import graph_objects as go

    if not any(run.result["byzantine"] for run in runs):
        return None
    figure = new_figure("faulty sensors", _REWARD, height=360)
    rows, parts, most = [], [], 0
    for place, run in enumerate(runs):
        entries = run.result["byzantine"]
        worst = [run.result["decision"] | {"faulty": 0, "fault": "none"}]
        for count in sorted({entry["faulty"] for entry in entries}):
            alike = [entry for entry in entries if entry["faulty"] == count]
            worst.append(min(alike, key=lambda entry: float(entry["reward_per_event"])))
        most = max(most, worst[-1]["faulty"])
        figure.add_trace(
            go.Scatter(
                x=[entry["faulty"] for entry in worst],
                y=[entry["reward_per_event"] for entry in worst],
                mode="lines+markers",
                name=run.name,
                line={"color": _colour(place), "width": 2},
                customdata=[entry["fault"].replace("_", " ") for entry in worst],
                hovertemplate="%{fullData.name}, %{x} faulty (%{customdata}): %{y:.4f}"
                "<extra></extra>",
            )
        )
        rows += [
            (run.name, str(one["faulty"]), one["fault"].replace("_", " "),
             number(one["reward_per_event"]), number(one["f1"]))
            for one in worst
        ]  # fmt: skip
        parts.append(
            f"{run.name} falls from {number(worst[0]['reward_per_event'])} to "
            f"{number(worst[-1]['reward_per_event'])} with {worst[-1]['faulty']} faulty"
        )
    figure.update_xaxes(tickmode="linear", dtick=1, range=[-0.1, most + 0.1])
    columns = ("run", "faulty sensors", "worst fault", _REWARD, "F1")
    summary = f"Under the worst fault, {'; '.join(parts)}."
    return Chart("byzantine", "With faulty sensors", summary, as_plain(figure), columns, rows)
