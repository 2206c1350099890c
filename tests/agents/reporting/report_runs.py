"""Evaluations to report on, made without a training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from marl_stl_agents.config import EvaluateConfig, TrainConfig
from marl_stl_agents.evaluation.evaluate import Evaluation, evaluate_team
from marl_stl_agents.run_directory import new_run

from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.types import Action, Float32Array, Float64Array, Int8Array
from tests.conftest import FOUR, make_table, with_entities

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def think(observations: Float32Array) -> tuple[Int8Array, Float64Array]:
    """A policy that stops what its columns hint at, in the manner of tests/conftest.py."""
    hint = observations[:, [0, 3, 5, 7]].sum(axis=1).astype(np.float64)
    threat = 1.0 / (1.0 + np.exp(-hint))
    chosen = np.select(
        [threat > 0.9, threat > 0.7, threat > 0.6],
        [Action.BLOCK, Action.QUARANTINE, Action.ALERT],
        Action.ALLOW,
    )
    return chosen.astype(np.int8), threat


def evaluated_toy(
    folder: Path,
    env: EnvConfig | None = None,
    settings: EvaluateConfig | None = None,
    table: TrafficTable | None = None,
) -> Evaluation:
    """A rollout of :func:`think` on a toy table, in a run directory without a training."""
    table = table or with_entities(make_table(rows=1500), entities=12)
    env = env or EnvConfig(episode_length=60, **FOUR)
    config = TrainConfig(env=env, run_dir=folder, stl="monitor" if env.stl.monitor else "off")
    run = new_run(config)
    prepared = prepare(config.env, table)
    return evaluate_team(run, config, prepared, think, settings or EvaluateConfig(run))


def hostile_table() -> TrafficTable:
    """A table all of whose names would do harm in a page that did not escape them."""
    table = with_entities(make_table(rows=1500), entities=12)
    return replace(
        table,
        name=f"data {HOSTILE}",
        family_names=("benign", f"scan {HOSTILE}", "flood"),
        feature_names=(f"x0 {HOSTILE}", *table.feature_names[1:]),
        views={f"{HOSTILE} {name}": columns for name, columns in table.views.items()},
    )


class Page(HTMLParser):
    """What a page holds, as a browser would read it.

    Attributes:
        elements: Name and attributes of every element.
        scripts: The text of every script element.
        styles: The text of every style element.
        words: All other text.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            (self.scripts if tag == "script" else self.styles).append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem == "style":
            self.styles[-1] += data
        else:
            self.words += data

    @property
    def data(self) -> Any:
        """The JSON inside."""
        scripts = [attrs for tag, attrs in self.elements if tag == "script"]
        places = [i for i, one in enumerate(scripts) if one.get("type") == "application/json"]
        assert len(places) == 1
        return json.loads(self.scripts[places[0]])

    def loads(self) -> Iterator[str]:
        """Everything that it would fetch."""
        for tag, attrs in self.elements:
            for name in ("src", "href", "srcset", "data", "action", "poster"):
                value = attrs.get(name)
                if value is not None and not value.startswith(("#", "data:")):
                    yield f"{tag} {name}={value}"
        for style in self.styles:
            if "url(" in style or "@import" in style:
                yield style
