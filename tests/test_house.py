"""Sizes, words and contents of the source tree stay within limits; imports: ``test_floors.py``."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import pytest

from tests.documents import DOCS, ROOT
from tests.programs import run_program

FOLDERS = ("marl_stl_env", "agents", "benchmarks", "examples")
CODE = sorted(
    [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    + [ROOT / "train.py", ROOT / "evaluate.py"]
)
PAGES = [
    ROOT / "README.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
]
#: Words of an abandoned private vocabulary; docs/glossary.md has the present terms.
OLD_WORDS = (
    "promis\\w*",
    "decoy\\w*",
    "exemplar\\w*",
    "traitor\\w*",
    "liar\\w*",
    "keepers?",
    "judg(?:e|ed|es|ing|ement\\w*)",
    "letters?",
    "goes with",
    "asks? nothing",
)
#: Home folders of a developer's machine. The start is split so that this file does not match.
HOMES = re.compile(r"(?<![\w.])/" + r"(?:home|Users|root|work|mnt|tmp/[a-z]+)/\w+")


def ninth_tenth(values: Sequence[int]) -> int:
    """The value that nine tenths of the values do not exceed."""
    return sorted(values)[int(0.9 * (len(values) - 1))]


def function_lines() -> Iterator[int]:
    """Lines of every function."""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (node.end_lineno or 0) - node.lineno + 1


def words_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").split())


def sentence_lengths(text: str) -> list[int]:
    """Words of every sentence of a Markdown page; code, tables and headings are left out."""
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)|`([^`\n]*)`", r"\1 \2", text)
    text = re.sub(r"^(?:\|.*|#.*)$|^\s*[-*] ", "\n\n", text, flags=re.MULTILINE)
    lengths = [len(part.split()) for part in re.split(r"(?<=[.!?:])\s+|\n\s*\n", text)]
    return [length for length in lengths if length > 2]


def old_words(text: str) -> list[str]:
    pattern = rf"(?<![a-z])(?:{'|'.join(OLD_WORDS)})(?![a-z])"
    return re.findall(pattern, text.lower().replace("_", " "))


def test_files_are_short() -> None:
    assert ninth_tenth([len(path.read_text().splitlines()) for path in CODE]) <= 300


def test_functions_are_short() -> None:
    assert ninth_tenth(list(function_lines())) <= 28


def test_no_folder_is_full() -> None:
    files = Counter(path.parent for path in CODE if path.name != "__init__.py")
    assert {str(folder): n for folder, n in files.items() if n > 14} == {}


def test_the_environment_does_not_import_the_trainer() -> None:
    trainer = re.compile(r"^\s*(?:from|import) (?:marl_stl_agents|benchmarks|agents)\b", re.M)
    environment = (ROOT / "marl_stl_env").rglob("*.py")
    assert [path for path in environment if trainer.search(path.read_text())] == []


def test_the_old_words_are_gone() -> None:
    found: Counter[str] = Counter()
    for path in (*CODE, *PAGES):
        found.update(old_words(path.read_text(encoding="utf-8")))
    assert found.total() <= 20, found.most_common(10)


def test_the_readme_is_short_and_reads_easily() -> None:
    readme = ROOT / "README.md"
    assert words_of(readme) <= 700
    lengths = sentence_lengths(readme.read_text(encoding="utf-8"))
    assert median(lengths) <= 14
    assert ninth_tenth(lengths) <= 25


def test_sentences_are_told_apart() -> None:
    """The measure itself: code, headings and tables do not count, links count as their text."""
    page = (
        "# A heading of words\nOne two three. Four five\n`six` [seven](x y) eight.\n\n| a b c |\n"
    )
    assert sentence_lengths(page + "```sh\nno words of prose here\n```\n") == [3, 5]
    assert old_words("Promised; a_letter. The judge-ment goes with it, misjudged.") == [
        "promised",
        "letter",
        "judge",
        "goes with",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_can_be_read_at_once(page: Path) -> None:
    results = "results" in str(page.relative_to(ROOT))
    assert words_of(page) <= (1500 if results else 3500)


def test_no_data_among_the_documents() -> None:
    assert [path.name for path in DOCS.rglob("*.json")] == []


def test_the_help_of_train_is_not_endless(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert run_program("train.py", "--help") == 0
    options = re.findall(r"^[│ ]*(?:-\w, )?--[a-z]", capsys.readouterr().out, re.MULTILINE)
    assert 20 < len(options) <= 70


def test_no_path_of_a_developers_machine() -> None:
    texts = [*CODE, *PAGES, *(ROOT / "tests").rglob("*.py"), ROOT / "pyproject.toml"]
    found = {path.name: HOMES.findall(path.read_text(encoding="utf-8")) for path in texts}
    assert {name: paths for name, paths in found.items() if paths} == {}
