"""The code of the README runs as it stands there."""

import re
from pathlib import Path

import numpy as np

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_python_example_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 1
    names: dict[str, object] = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    venv, same = names["venv"], names["same"]
    first, other = venv.reset(), same.reset()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(first[: same.num_envs], other)  # type: ignore[attr-defined]


def test_linked_files_are_there() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (Path(__file__).parent.parent / link).exists(), link
