"""The examples of ``docs/guide/consensus.md`` do what the page says."""

import doctest
from pathlib import Path

import pytest

from marl_stl_env.consensus.faults import FAULTS, make_fault
from marl_stl_env.consensus.rules import DecisionRule
from marl_stl_env.engine.observation import ObservationModel
from tests.conftest import make_table

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
PAGE = GUIDE / "consensus.md"


pytestmark = pytest.mark.usefixtures("own_registrations")


def test_python_examples() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 15
    assert result.failed == 0


def rows(header: str, page: Path = PAGE) -> list[list[str]]:
    """The cells of the table whose header row starts so."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {header}"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip(" `") for cell in line.strip("|").split("|")])
    return table


def test_every_fault_is_described() -> None:
    assert sorted(row[0] for row in rows("name | behaviour")) == sorted(FAULTS)


def test_thresholds_of_the_table() -> None:
    for agents, faulty, allowed, default in rows("sensors n"):
        low, high = allowed.split(" … ") if "…" in allowed else (allowed, allowed)
        n, f = int(agents), int(faulty)
        assert f == (n - 1) // 3
        assert (f + 1, n - f) == (int(low), int(high))
        DecisionRule(n, f, int(default))
        assert int(default) == -(-n // 2)


def test_columns_of_deliberation() -> None:
    layout = ObservationModel(make_table(20), 3, "groups", 1).layout
    flag, proposals = (row[0] for row in rows("columns after", GUIDE / "deliberation.md"))
    assert layout[13] == flag
    first, last = proposals.replace("{n-1}", "2").replace("`", "").split(" … ")
    assert (layout[14], layout[-1]) == (first, last)
    assert len(layout) == 14 + 3 * 4


def test_the_default_sleeper_is_the_one_described() -> None:
    assert "`start` = 100" in PAGE.read_text(encoding="utf-8")
    assert vars(make_fault("sleeper", DecisionRule(4, 1, 2)))["start"] == 100
