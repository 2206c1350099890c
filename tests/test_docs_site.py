"""The site holds together: its pages, its links, the tutorial and the notebook."""

from __future__ import annotations

import doctest
import importlib
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import marl_stl_env as mse
from marl_stl_env.engine.reward import payoff_table
from tests.documents import DOCS, ROOT, blocks
from tests.programs import status_of

NOTEBOOKS = sorted(DOCS.glob("getting-started/*.ipynb"))
CARD = DOCS / "guide" / "environment.md"
_SECTIONS = (
    "Description",
    "Action Space",
    "Observation Space",
    "Rewards",
    "Starting State",
    "Episode End",
    "Arguments",
    "Version History",
)


def nav() -> set[str]:
    """The pages that the navigation names."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return set(re.findall(r"^ *- [^:\n]+: (\S+\.(?:md|ipynb))$", text, re.MULTILINE))


def pages() -> set[str]:
    return {
        path.relative_to(DOCS).as_posix()
        for path in DOCS.rglob("*")
        if path.suffix in {".md", ".ipynb"} and ".ipynb_checkpoints" not in path.parts
    }


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a page, as its renderer makes them."""
    from markdown.extensions.toc import slugify

    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    return {slugify(re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading), "-") for heading in headings}


def links(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    yield from re.findall(r"\]\((?!https?:)([^)\s]+)\)", text)


def test_the_navigation_has_every_page() -> None:
    assert nav() == pages() | {"index.md"}


@pytest.mark.parametrize("page", sorted(pages()))
def test_links_lead_somewhere(page: str) -> None:
    for link in links(DOCS / page):
        target, _, anchor = link.partition("#")
        path = (DOCS / page).parent / target if target else DOCS / page
        assert DOCS in path.resolve().parents, link
        assert path.exists(), link
        if anchor and "." not in anchor:  # those with dots are names of the API
            assert anchor in anchors(path.read_text(encoding="utf-8")), link


def test_the_environment_card_is_in_gymnasiums_order() -> None:
    text = CARD.read_text(encoding="utf-8")
    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == _SECTIONS


def flat_defaults(config: type[Any]) -> dict[str, Any]:
    """The fields of a configuration with their defaults, those of its ``data`` among them."""
    defaults: dict[str, Any] = {}
    for item in fields(config):
        value = item.default if item.default_factory is MISSING else item.default_factory()
        defaults |= flat_defaults(type(value)) if item.name == "data" else {item.name: value}
    return defaults


def test_the_environment_card_has_every_argument_with_its_default() -> None:
    text = CARD.read_text(encoding="utf-8")
    section = text.split("## Arguments", 1)[1].split("\n## ", 1)[0]
    shown = re.findall(r"^\| `(\w+)` \| `(.*?)` \|", section, re.MULTILINE)
    known = {name: getattr(mse, name) for name in mse.__all__} | {"None": None}
    found = [(name, eval(default, known)) for name, default in shown]  # noqa: S307
    assert len(dict(found)) == len(found)
    assert dict(found) == flat_defaults(mse.EnvConfig)


@pytest.mark.parametrize("dynamics", ["replay", "response"])
def test_the_environment_card_tells_the_rewards(dynamics: Any) -> None:
    text = CARD.read_text(encoding="utf-8").replace("\u2212", "-")
    rows = re.findall(r"^\| (threat|benign) \| ([+-]\d+) \| ([+-]\d+) \|$", text, re.MULTILINE)
    costs = re.search(r"Block ([\d.]+), Quarantine ([\d.]+) and Alert ([\d.]+)", text)
    assert costs
    paid = (0.0, 0.0, 0.0) if dynamics == "replay" else tuple(map(float, costs.groups()))
    shown = {name: [float(stopped), float(passed)] for name, stopped, passed in rows}
    expected = [
        [passed, stopped - paid[0], stopped - paid[1], passed - paid[2]]
        for stopped, passed in (shown["benign"], shown["threat"])
    ]
    np.testing.assert_allclose(payoff_table(mse.RewardConfig(), dynamics), expected)


def console_scripts() -> dict[str, str]:
    """The installed commands, each with the function behind it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(project["scripts"])


#: What commands get besides, so that they take a moment; of an option given twice the last counts.
#: Those that name no data set run on the embedded one, here with a fifth of its events.
SMALLER_DATA = "--dataset-options rows=40000"
SMALLER_TRAINING = "--lanes 8 --n-steps 16 --batch-size 128 --width 16"


def smaller(program: str, arguments: list[str]) -> str:
    """The options that make a command of the tutorial a short one."""
    if program == "marl-stl-train":
        if "--dataset" not in arguments:
            return SMALLER_DATA  # said to have learned, so it is not shorter
        return "" if "--learning-rate" in arguments else SMALLER_TRAINING  # said to fail
    return SMALLER_DATA if "synthetic" in arguments else ""


def run_line(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what an installed command does, in this process and smaller."""
    program, *arguments = shlex.split(line.replace("--certify 200", "--certify 30"))
    arguments += smaller(program, arguments).split()
    module, function = console_scripts()[program].split(":")
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    assert status_of(getattr(importlib.import_module(module), function)) == 0, line


def without_figures(text: str) -> str:
    """Words alone: figures differ between processors in their last digits."""
    return " ".join(re.sub(r"[\d.%]+", "#", text).split())


@pytest.mark.filterwarnings("ignore:rich is experimental")  # SB3's progress bar
@pytest.mark.long
def test_the_tutorial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    printed = ""
    ran = {"bash": 0, "python": 0, "text": 0}
    for language, content in blocks("getting-started/tutorial.md"):
        if language == "bash":
            printed = ""
            for line in content.replace("\\\n", " ").splitlines():
                run_line(line, monkeypatch)
                printed += capsys.readouterr().out
        elif language == "python":
            exec(compile(content, "tutorial.md", "exec"), names)
        else:
            for line in content.splitlines():
                shown = line.removesuffix("...")  # the line goes on
                assert without_figures(shown) in without_figures(printed)
        ran[language] += 1
    assert min(ran.values()) >= 5
    assert mse.Action(int(names["rule"](names["votes"])[0])).name == "BLOCK"
    assert names["env"].engine.spec_monitor.violated.all()
    assert len(names["decisions"]) == 500


def test_notebooks_carry_no_outputs() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs"), f"{path.name}: strip its outputs"
            assert cell.get("execution_count") is None
            assert cell["metadata"] == {}


#: What the cells say, and what they say here; the site's own build runs them as they are.
SMALLER_CELLS = {
    "mse.EnvConfig(episode_length=200)": "mse.EnvConfig(\n"
    "    data=mse.DataConfig(dataset_options=('rows=20000',)), episode_length=200\n)",
    "settings = TrainConfig(": "settings = TrainConfig(\n    lanes=8,",
    "iterations=10": "iterations=5",
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.long
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell, as plain Python and with less data."""
    import matplotlib.pyplot as plt

    monkeypatch.setenv("JUPYTER_COLUMNS", "80")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    for text in SMALLER_CELLS:
        assert sum(text in source for source in sources) == 1, text
    names: dict[str, Any] = {}
    pictures = 0
    with plt.rc_context():
        for source in sources:
            for text, instead in SMALLER_CELLS.items():
                source = source.replace(text, instead)  # noqa: PLW2901
            exec(compile(source, path.name, "exec"), names)
            pictures += len(plt.get_fignums())
            plt.close("all")
    assert pictures == 5


def test_examples_with_prompts_are_run_by_their_own_tests() -> None:
    """Pages with ``>>>`` are those that some test hands to doctest."""
    tested = {"guide/stl.md", "guide/consensus.md"}
    parser = doctest.DocTestParser()
    with_prompts = {
        page
        for page in pages()
        if page.endswith(".md") and parser.get_examples((DOCS / page).read_text(encoding="utf-8"))
    }
    assert with_prompts == tested
