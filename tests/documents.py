"""The code blocks of the documentation, for the tests that execute them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and content of every block of a page, in order.

    Blocks of the language ``sh`` are not executed: they install, or take too long.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [(language, content) for language, content in found if language != "sh"]
