"""How a chart of a report is made up: a plotly figure, a sentence and a table of its numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Policies to the words for them.
POLICIES = {
    "team": "the team",
    "clones": "copies of one sensor",
    "always_allow": "always allow",
    "always_block": "always block",
    "random": "chance",
    "oracle": "oracle",
    "supervised": "supervised, all columns",
    "supervised_vote": "supervised, same vote",
    "bayes": "Bayes' rule, all columns",
    "bayes_vote": "Bayes' rules, same vote",
}
#: Names of colours; the page says what they are in light and in dark.
TEAM, INK, FAINT, GOOD, BAD = (f"var(--{name})" for name in ("team", "ink", "faint", "good", "bad"))
SERIES = tuple(f"var(--series-{i})" for i in range(8))
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
        name: Its place in the page.
        title: What it shows.
        summary: What is to be seen in it, for those too who do not see it.
        figure: Data and layout, as plotly's JSON has them.
        columns: Titles of the table.
        rows: Cells of the table.
        note: How it is to be read.
    """

    name: str
    title: str
    summary: str
    figure: dict[str, Any]
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    note: str = ""


def new_figure(x_title: str = "", y_title: str = "", height: int = 340, **layout: Any) -> Figure:
    """An empty figure in the page's manner; the page adds fonts and colours."""
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


def as_plain(figure: Figure) -> dict[str, Any]:
    """Data and layout of a figure, with nothing but lists and numbers."""
    plain: dict[str, Any] = json.loads(figure.to_json())
    return {"data": plain["data"], "layout": plain["layout"]}


def number(value: float | None, digits: int = 3) -> str:
    """A number as a table shows it, with a true minus sign."""
    return "–" if value is None else f"{value:,.{digits}f}".replace("-", "−")


def share(value: float, digits: int = 1) -> str:
    """A share as a table shows it."""
    return f"{value:.{digits}%}"


def numbers(values: Iterable[Any], digits: int = 5) -> list[float | None]:
    """Rounded to this many decimals; None where there is no finite number."""
    rounded = np.round(np.asarray(list(values), np.float64), digits).tolist()
    return [value if np.isfinite(value) else None for value in rounded]


def thinned(count: int, points: int) -> Sequence[int]:
    """At most about this many places, evenly spaced, with the first and the last."""
    places: list[int] = np.unique(np.linspace(0, count - 1, min(count, points)).round()).tolist()
    return [int(place) for place in places]
