"""Without any of the libraries: the page and the tests know of each other."""

from pathlib import Path

from tests.compat.common import DOCS, snippets


def test_every_snippet_is_python_and_has_its_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert len(snippets()) >= 9
    for title, code in snippets().items():
        compile(code, f"{DOCS.name}: {title}", "exec")
        assert f'run_snippet("{title}"' in tests
