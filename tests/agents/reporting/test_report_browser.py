"""The reports in a real browser: they load, replay, and can be used by keyboard and on a phone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from marl_stl_agents.config import EvaluateConfig
from marl_stl_agents.evaluation.result import write_result
from marl_stl_agents.reporting.compare_page import write_comparison
from marl_stl_agents.reporting.comparison import read_runs
from marl_stl_agents.reporting.page import write_report
from marl_stl_agents.run_data import describe_data
from marl_stl_agents.run_directory import DATA, write_json

from marl_stl_env.config import EnvConfig, StlConfig
from tests.agents.reporting.report_runs import evaluated_toy, hostile_table
from tests.conftest import make_table, with_entities

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

pytestmark = [pytest.mark.browser, pytest.mark.long]

NAMED = "MARL_STL_BROWSER"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAGES = ("toy", "response", "sixteen", "hostile", "comparison")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium; where one is named, it must be there."""
    named = os.environ.get(NAMED)
    path = named or shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        if named:
            raise
        pytest.skip("playwright is not installed")
    if path is None:
        pytest.skip(f"no Chromium on the PATH, and {NAMED} names none")
    if not Path(path).is_file():
        pytest.fail(f"{NAMED} names {path}, which is not there")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of every kind, and a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    table = with_entities(make_table(rows=3000), entities=12)
    response = EnvConfig(episode_length=90, dynamics="response", stl=StlConfig(monitor=True))
    kinds: dict[str, tuple[EnvConfig, Any]] = {
        "toy": (EnvConfig(episode_length=60), table),
        "response": (response, table),
        "sixteen": (EnvConfig(agents=16, views="random", episode_length=40), table),
        "hostile": (EnvConfig(episode_length=60), hostile_table()),
    }
    written = {}
    for name, (env, events) in kinds.items():
        evaluated = evaluated_toy(folder / name, env, EvaluateConfig(folder / name), events)
        (evaluated.run / "progress.csv").write_text(
            "time/total_timesteps,validation/f1,train/value_loss\n100,0.25,3\n200,,2\n300,0.5,1\n"
        )
        write_result(evaluated.file, evaluated.result)
        write_json(evaluated.run / DATA, describe_data(evaluated.prepared))
        written[name] = evaluated.run / "report.html"
        write_report(evaluated, written[name])
    written["comparison"] = folder / "compare.html"
    write_comparison(
        read_runs([folder / "toy", folder / "response"], "test"), folder / "compare.html"
    )
    return written


@dataclass
class Visit:
    """A page that was opened, and what it did meanwhile."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def dismiss(self, dialog: Dialog) -> None:
        """Note down what a dialog says, which there should be none of."""
        self.messages.append(dialog.message)
        dialog.dismiss()


def until(page: Page, condition: str) -> None:
    """Wait for a condition; playwright's own way needs eval, which the page forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"not within 10 seconds: {condition}")


@pytest.fixture
def visit(browser: Browser, pages: dict[str, Path]) -> Iterator[Any]:
    """Opens pages, each in a context of its own."""
    contexts = []

    def open_page(name: str, **options: Any) -> Visit:
        context = browser.new_context(**{"viewport": DESKTOP, "color_scheme": "light"} | options)
        contexts.append(context)
        page = context.new_page()
        seen = Visit(page)
        page.on("console", lambda message: seen.messages.append(message.text))
        page.on("pageerror", lambda error: seen.messages.append(str(error)))
        page.on("dialog", seen.dismiss)
        page.on("request", lambda request: seen.requests.append(request.url))
        page.goto(pages[name].as_uri())
        until(page, "document.querySelectorAll('.chart:not(:has(svg))').length === 0")
        return seen

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", PAGES)
def test_loads_alone_and_without_a_complaint(visit: Any, pages: dict[str, Path], name: str) -> None:
    seen = visit(name)
    seen.page.keyboard.press("End")
    seen.page.mouse.move(600, 400)
    assert seen.messages == []
    assert seen.requests == [pages[name].as_uri()]
    drawn = seen.page.evaluate("document.querySelectorAll('[data-chart] svg.main-svg').length > 0")
    assert drawn
    assert (
        seen.page.evaluate("Object.keys(page.data.charts).length")
        == seen.page.locator("[data-chart]").count()
    )


def shown(page: Page, name: str) -> str:
    return page.locator(f"#{name}").inner_text()


def signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{value:.2f}".replace("-", "\N{MINUS SIGN}")


def check_event(page: Page, step: int, episode: int = 0) -> None:
    """What is shown is what the page's JSON says of this event."""
    replay = page.evaluate("page.data.replay")
    one = replay["episodes"][episode]
    events = len(one["reward"])
    assert shown(page, "count").startswith(f"Event {step + 1} of {events}")
    family = replay["families"][one["family"][step]]
    assert shown(page, "truth") == f"{'threat' if one['threat'][step] else 'benign'} ({family})"
    assert shown(page, "decision") == replay["actions"][one["decision"][step]]
    assert shown(page, "event-reward") == signed(one["reward"][step])
    assert shown(page, "total") == signed(sum(one["reward"][: step + 1]))
    votes = page.locator("#cards .vote").all_inner_texts()
    assert votes == [replay["actions"][action] for action in one["actions"][step]]
    beliefs = page.locator("#cards .belief").all_inner_texts()
    for belief, probability in zip(beliefs, one["probabilities"][step], strict=True):
        assert f"{probability:.3f}" in belief
    for number, sensor in enumerate(replay["sensors"]):
        seen = [(one["features"][step][column], column) for column in sensor["columns"]]
        largest = max(seen, key=lambda pair: abs(pair[0]))
        first = page.locator("#cards .card").nth(number).locator(".seen li").first.inner_text()
        assert f"{largest[0]:.2f}".replace("-", "\N{MINUS SIGN}") in first
    assert page.locator("#scrub").get_attribute("aria-valuetext") is not None
    assert f"Event {step + 1} of" in (page.locator("#scrub").get_attribute("aria-valuetext") or "")


@pytest.mark.parametrize("name", ["toy", "response", "sixteen", "hostile"])
def test_replay_scrubs_by_keyboard(visit: Any, name: str) -> None:
    seen = visit(name)
    page = seen.page
    check_event(page, 0)
    page.locator("#scrub").focus()
    for step in (1, 2, 3):
        page.keyboard.press("ArrowRight")
        check_event(page, step)
    page.keyboard.press("ArrowLeft")
    check_event(page, 2)
    page.keyboard.press("End")
    check_event(page, len(page.evaluate("page.data.replay.episodes[0].reward")) - 1)
    page.locator("#episode").select_option(index=1)
    check_event(page, 0, episode=1)
    page.locator("#forth").click()
    check_event(page, 1, episode=1)
    assert seen.messages == []


def test_replay_plays_and_pauses(visit: Any) -> None:
    page = visit("toy").page
    page.locator("#speed").select_option(index=2)
    page.locator("#play").click()
    assert shown(page, "play") == "Pause"
    until(page, "Number(document.getElementById('scrub').value) >= 3")
    page.locator("#scrub").focus()
    page.keyboard.press(" ")
    assert shown(page, "play") == "Play"
    stopped = int(page.locator("#scrub").input_value())
    page.wait_for_timeout(300)
    check_event(page, stopped)
    page.keyboard.press("End")
    page.keyboard.press(" ")
    until(page, "document.getElementById('play').textContent === 'Play'")


def test_replay_jumps_to_threats_and_errors(visit: Any) -> None:
    page = visit("toy").page
    one = page.evaluate("page.data.replay.episodes[0]")
    threats = [step for step, threat in enumerate(one["threat"]) if threat and step > 0]
    for step in threats[:2]:
        page.locator("#next-threat").click()
        check_event(page, step)
    wrong = [
        step
        for step, (threat, decision) in enumerate(zip(one["threat"], one["decision"], strict=True))
        if (decision in (1, 2)) != bool(threat)
    ]
    after = [step for step in wrong if step > threats[1]] or wrong
    page.locator("#next-error").click()
    check_event(page, after[0])


def test_specs_and_context_of_a_response(visit: Any) -> None:
    page = visit("response").page
    replay = page.evaluate("page.data.replay")
    page.locator("#scrub").focus()
    page.keyboard.press("End")
    one = replay["episodes"][0]
    statuses = page.locator("#spec-status li").all_inner_texts()
    assert len(statuses) == len(replay["specs"])
    for words, name, least in zip(statuses, replay["specs"], one["robustness"][-1], strict=True):
        shown_value = (
            "not yet evaluated" if least is None else f"{least:.2f}".replace("-", "\N{MINUS SIGN}")
        )
        assert words.startswith(name)
        assert shown_value in words
        assert ("violated" in words) == (least is not None and least < 0)
    assert f"budget {one['shared'][-1][replay['shared'].index('budget')]:.2f}" in shown(
        page, "context"
    )
    lines = page.evaluate(
        "document.getElementById('specifications-so-far').data.map((line) => line.y)"
    )
    assert [line[-1] for line in lines] == one["left"][-1]


def test_table_of_all_events(visit: Any) -> None:
    page = visit("toy").page
    page.locator("#events > summary").focus()
    page.keyboard.press("Enter")
    rows = page.locator("#event-table tbody tr")
    one = page.evaluate("page.data.replay.episodes[0]")
    assert rows.count() == len(one["reward"])
    assert rows.last.locator("td").nth(5).inner_text() == signed(sum(one["reward"]))


COLOURS = """() => {
  const trace = document.querySelector('[data-chart=reward]').data[0].marker.color;
  const style = getComputedStyle(document.body);
  const text = document.querySelector('[data-chart=reward] .xtick text');
  return [style.backgroundColor, style.color, trace[0], getComputedStyle(text).fill];
}"""


def lightness(colour: str) -> float:
    return sum(float(one) for one in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3


def test_light_and_dark(visit: Any) -> None:
    light = visit("toy").page.evaluate(COLOURS)
    dark = visit("toy", color_scheme="dark").page.evaluate(COLOURS)
    assert all(one != other for one, other in zip(light, dark, strict=True))
    assert lightness(light[0]) > 200
    assert lightness(dark[0]) < 80
    assert lightness(light[1]) < 80
    assert lightness(dark[1]) > 200


def test_toggle_changes_page_and_charts(visit: Any) -> None:
    page = visit("toy").page
    before, button = page.evaluate(COLOURS), page.locator("#theme")
    assert button.get_attribute("aria-pressed") == "false"
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    after = page.evaluate(COLOURS)
    assert all(one != other for one, other in zip(before, after, strict=True))
    page.keyboard.press("Enter")
    assert page.evaluate(COLOURS) == before


@pytest.mark.parametrize("name", PAGES)
def test_readable_on_a_phone(visit: Any, name: str) -> None:
    page = visit(name, viewport=PHONE, is_mobile=True, has_touch=True).page
    for summary in page.locator("details > summary").all():
        summary.evaluate("(one) => { one.parentElement.open = true; }")
    width, room = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert width <= room == PHONE["width"]
    wide = page.evaluate(
        """[...document.querySelectorAll('.chart')]
        .filter((one) => one.scrollWidth > innerWidth).length"""
    )
    assert wide == 0
    small = page.evaluate(
        """[...document.querySelectorAll('button, select, input')]
        .filter((one) => one.getBoundingClientRect().height < 24).map((one) => one.id)"""
    )
    assert small == []


@pytest.mark.parametrize("name", ["toy", "comparison"])
def test_every_control_is_reached_by_tab(visit: Any, name: str) -> None:
    page = visit(name).page
    wanted = page.evaluate(
        """[...document.querySelectorAll('button, select, input, a[href], summary')]
        .filter((one) => one.checkVisibility()).map((one, i) => (one.dataset.stop = String(i)))"""
    )
    reached, unlit, unnamed = set(), [], []
    for _ in range(3 * len(wanted) + 40):
        page.keyboard.press("Tab")
        stop, outline, label = page.evaluate(
            """(() => { const one = document.activeElement, style = getComputedStyle(one);
            const text = one.ariaLabel || one.textContent || one.labels?.[0]?.textContent || '';
            const outline = style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth);
            return [one.dataset.stop, outline, text.trim()]; })()"""
        )
        if stop is not None:
            reached.add(stop)
            unlit += [stop] if not outline else []
            unnamed += [stop] if not label else []
    assert reached == set(wanted)
    assert unlit == []
    assert unnamed == []
