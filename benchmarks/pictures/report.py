"""Screenshot of a report: ``python -m benchmarks.pictures.report RUN``.

Needs the extra ``dev`` and Chromium; MARL_STL_BROWSER names it if it is not ``chromium``.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import tyro

from marl_stl_env.files import atomic_path

IMAGE = Path(__file__).parents[2] / "docs" / "images" / "report.png"
_VIEW = {"width": 1280, "height": 1980}


@dataclass(frozen=True)
class Settings:
    """Settings of the screenshot.

    Attributes:
        run: A run directory with a ``report.html``.
        section: Heading to scroll to; empty for the top.
        image: Image file to write.
        dark: In the dark theme.
    """

    run: tyro.conf.Positional[Path]
    section: str | None = None
    image: Path = IMAGE
    dark: bool = False


def main(settings: Settings) -> None:
    """Open the report and write the image."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("MARL_STL_BROWSER") or shutil.which("chromium")
    page_file = settings.run.resolve() / "report.html"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(
            viewport=_VIEW,  # type: ignore[arg-type]
            color_scheme="dark" if settings.dark else "light",
        )
        page.goto(f"{page_file.as_uri()}#{settings.section or 'content'}")
        page.wait_for_timeout(1500)
        with atomic_path(settings.image) as draft:
            page.screenshot(path=draft)
        browser.close()


if __name__ == "__main__":
    main(tyro.cli(Settings))
