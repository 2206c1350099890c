"""What mkdocs needs to know about this project; ``mkdocs.yml`` names it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_SHAPE = re.compile(r"#\s+(\d* ?(?:of )?\([^)\n]*\)(?:[^.\n]*?(?:int|float|bool)\w*| integer)?)")
_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")


def on_files(files: Files, config: Any) -> Files:
    """Make the README the first page."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Let the links of a notebook, which mkdocs does not know, lead to pages of the site."""
    if page.file.src_uri.endswith(".ipynb"):
        return re.sub(r'href="([^":]+)\.md(#[^"]*)?"', r'href="\1.html\2"', html)
    return html


class Docstrings(griffe.Extension):
    """Shapes and cross-references of docstrings, which Markdown would take for something else."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Write ``# (rows,) int8`` and ``:class:`~package.Name``` as code."""
        if obj.docstring is not None:
            text = _ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = _SHAPE.sub(r"`\1`", text)
