"""Building blocks of charts: a plotly figure, a summary and a table of the same numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from marl_stl_agents.evaluation.result import FamilyRecall, FaultMetrics
from marl_stl_agents.reporting.numbers import recall_interval

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Scatter

REWARD = "reward per event"

#: Shown in place of an unknown number.
UNKNOWN = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
#: CSS variables; ``page.css`` defines their colours in the light and the dark theme.
TEAM, INK, FAINT, GOOD, BAD = (f"var(--{name})" for name in ("team", "ink", "faint", "good", "bad"))
SERIES = tuple(f"var(--series-{i})" for i in range(8))
#: Colour of attack families that are not in the training split.
NEW = SERIES[0]
#: Colours of compared runs.
RUN_COLOURS = (TEAM, *SERIES[:-1])
COLOURS = {
    "team": TEAM,
    "supervised": SERIES[0],
    "supervised_vote": SERIES[1],
    "bayes": SERIES[2],
    "bayes_vote": SERIES[3],
}


@dataclass(frozen=True)
class Chart:
    """A chart with its content in words and as a table.

    Attributes:
        name: Key of the chart in the page.
        title: Title.
        summary: The result in one or two sentences, also for screen readers.
        figure: ``data`` and ``layout`` of plotly's JSON.
        columns: Column titles of the table.
        rows: Rows of the table.
        note: Hints for reading the chart.
    """

    name: str
    title: str
    summary: str
    figure: dict[str, Any]
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def new_figure(x_title: str = "", y_title: str = "", height: int = 340, **layout: Any) -> Figure:
    """An empty figure; the style of the page adds fonts and colours."""
    from plotly import graph_objects as go

    axis = {"fixedrange": True, "zeroline": False, "automargin": True}
    font = {"size": 13}
    return go.Figure(
        layout={
            "template": {},
            "height": height,
            "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
            "dragmode": False,
            "hovermode": "closest",
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1, "x": 0},
            "xaxis": {**axis, "title": {"text": x_title, "standoff": 8, "font": font}},
            "yaxis": {**axis, "title": {"text": y_title, "standoff": 8, "font": font}},
            **layout,
        }
    )


def reward_bars(
    rewards: Mapping[str, float], colours: Sequence[str], base: float, least: float, most: float
) -> Figure:
    """Horizontal bars of rewards that begin at a base value, the first on top.

    Args:
        rewards: Title of each bar to its reward.
        colours: Colour of each bar.
        base: Value at which bars begin.
        least: Start of the axis; bars that would reach below are cut off and labelled so.
        most: Largest value on the axis.
    """
    from plotly import graph_objects as go

    titles, values = list(rewards), list(rewards.values())
    figure = new_figure(REWARD, height=84 + 34 * len(rewards), showlegend=False)
    figure.add_trace(
        go.Bar(
            x=[max(value, least) - base for value in values],
            base=[base] * len(values),
            y=titles,
            orientation="h",
            marker={"color": list(colours)},
            customdata=values,
            hovertemplate="%{y}: %{customdata:.4f}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[max(value, base) for value in values],
            y=titles,
            mode="text",
            text=[f" {number(one)}{' (cut off)' if one < least else ''}" for one in values],
            textposition="middle right",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.add_vline(base, line={"color": INK, "width": 1, "dash": "dot"})
    figure.update_xaxes(range=[least, most + 0.25 * (most - least)])
    figure.update_yaxes(showgrid=False, type="category", autorange="reversed")
    figure.update_layout(margin_r=40)
    return figure


def recall_marks(
    families: Mapping[str, FamilyRecall], places: Sequence[Any], name: str, colour: str
) -> Scatter:
    """Recall of each family with its confidence interval.

    Args:
        families: Name to recall.
        places: Position of each family on the other axis.
        name: Name in the legend.
        colour: Colour of marks and intervals.
    """
    from plotly import graph_objects as go

    recalls = [one.recall for one in families.values()]
    spans = [family_interval(one) for one in families.values()]
    return go.Scatter(
        x=recalls,
        y=list(places),
        mode="markers",
        name=name,
        marker={"color": colour, "size": 9},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - one for one, (_, high) in zip(recalls, spans, strict=True)],
            "arrayminus": [one - low for one, (low, _) in zip(recalls, spans, strict=True)],
            "color": colour,
            "thickness": 1.5,
            "width": 4,
        },
        customdata=[f"{family}, {one.events:,} events" for family, one in families.items()],
        hovertemplate="%{fullData.name}: %{customdata}: %{x:.3f}<extra></extra>",
    )


def faulty_line(
    name: str, honest: float, entries: Sequence[FaultMetrics], colour: str, dash: str = "solid"
) -> Scatter:
    """Reward against the number of faulty sensors.

    Args:
        name: Name in the legend.
        honest: Reward without faulty sensors.
        entries: Metrics with faulty sensors.
        colour: Colour of the line.
        dash: Dash of the line.
    """
    from plotly import graph_objects as go

    return go.Scatter(
        x=[0, *(entry.faulty for entry in entries)],
        y=[honest, *(entry.reward_per_event for entry in entries)],
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": 2, "dash": dash},
        customdata=["none", *(entry.fault for entry in entries)],
        hovertemplate="%{fullData.name}, %{x} faulty (%{customdata}): %{y:.4f}<extra></extra>",
    )


def family_interval(family: FamilyRecall) -> tuple[float, float]:
    """The 95 % confidence interval of a family's recall."""
    return recall_interval(round(family.recall * family.events), family.events)


def as_plain(figure: Figure) -> dict[str, Any]:
    """Data and layout of a figure as plain JSON values."""
    plain: dict[str, Any] = json.loads(figure.to_json())
    return {"data": plain["data"], "layout": plain["layout"]}


def number(value: float | None, digits: int = 3) -> str:
    """A number as text, with a typographic minus sign."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}".replace("-", _MINUS)


def share(value: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return f"{value:.{digits}%}"


def numbers(values: Iterable[Any], digits: int = 5) -> list[float | None]:
    """Values rounded to this many decimals; None in place of NaN and infinities."""
    rounded = np.round(np.asarray(list(values), np.float64), digits).tolist()
    return [value if np.isfinite(value) else None for value in rounded]


def thinned(count: int, points: int) -> Sequence[int]:
    """Evenly spaced indices below ``count``, at most ``points``, with the first and the last."""
    places: list[int] = np.unique(np.linspace(0, count - 1, min(count, points)).round()).tolist()
    return [int(place) for place in places]
