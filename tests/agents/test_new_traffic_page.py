"""The Python of the page on new traffic runs, and does what the page says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.documents import blocks


@pytest.mark.filterwarnings("ignore:rich is experimental")  # SB3's progress bar
@pytest.mark.long
def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for language, content in blocks("guide/new-traffic.md"):
        if language == "python":
            exec(compile(content, "new-traffic.md", "exec"), names)
    decisions, first, later = names["decisions"], names["first"], names["later"]
    assert decisions.index.tolist() == list(range(2500, 3000)) == decisions["flow_id"].tolist()
    assert first["decision"].tolist() == decisions["decision"][:200].tolist()
    assert len(later) == 300
    assert names["evaluation"].result.decision.f1 > 0.5
    assert names["state"]["engine.events"] == 500
