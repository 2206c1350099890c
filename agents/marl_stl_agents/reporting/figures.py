"""Parts of a chart in a report: a plotly figure, a sentence and a table of its numbers."""

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

#: In place of a number that is not known.
UNKNOWN = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
#: Names of colours; the page says what they are in light and in dark.
TEAM, INK, FAINT, GOOD, BAD = (f"var(--{name})" for name in ("team", "ink", "faint", "good", "bad"))
SERIES = tuple(f"var(--series-{i})" for i in range(8))
#: For attack families that are not in the training split.
NEW = SERIES[0]
#: For runs side by side.
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
    """A chart, and the same in words and in numbers.

    Attributes:
        name: Its key in the page.
        title: What it shows.
        summary: What it shows, in a sentence; screen readers read it.
        figure: Data and layout, as plotly's JSON has them.
        columns: Titles of the table.
        rows: Cells of the table.
        note: How to read it.
    """

    name: str
    title: str
    summary: str
    figure: dict[str, Any]
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def new_figure(x_title: str = "", y_title: str = "", height: int = 340, **layout: Any) -> Figure:
    """An empty figure; the page adds fonts and colours."""
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
    """Bars from the best constant policy to each reward, the first on top.

    Args:
        rewards: Title of each bar to its reward.
        colours: Of each bar.
        base: Where bars begin.
        least: Where the axis begins; bars that would go below are cut off, and say so.
        most: What the axis has room for.
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
    """The recall of each family with its interval.

    Args:
        families: By name.
        places: Position of each on the other axis.
        name: Shown in the legend.
        colour: Of marks and intervals.
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
    """The reward against the number of faulty sensors.

    Args:
        name: Shown in the legend.
        honest: The reward without faulty sensors.
        entries: The points after that.
        colour: Of the line.
        dash: Of the line.
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
    """The 95 % interval of a family's recall."""
    return recall_interval(round(family.recall * family.events), family.events)


def as_plain(figure: Figure) -> dict[str, Any]:
    """Data and layout of a figure, with nothing but lists and numbers."""
    plain: dict[str, Any] = json.loads(figure.to_json())
    return {"data": plain["data"], "layout": plain["layout"]}


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table, with a true minus sign."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}".replace("-", _MINUS)


def share(value: float, digits: int = 1) -> str:
    """A share for a table."""
    return f"{value:.{digits}%}"


def numbers(values: Iterable[Any], digits: int = 5) -> list[float | None]:
    """Rounded to this many decimals; None where there is no finite number."""
    rounded = np.round(np.asarray(list(values), np.float64), digits).tolist()
    return [value if np.isfinite(value) else None for value in rounded]


def thinned(count: int, points: int) -> Sequence[int]:
    """At most about this many places, evenly spaced, with the first and the last."""
    places: list[int] = np.unique(np.linspace(0, count - 1, min(count, points)).round()).tolist()
    return [int(place) for place in places]
