"""Run directories with any one file damaged: what it held, or a typed error."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from marl_stl_agents.checkpoints.policy import read_architecture, saved_policy
from marl_stl_agents.checkpoints.store import best_checkpoint, load_trainer, newest_checkpoint
from marl_stl_agents.console.tables import read_progress
from marl_stl_agents.diagnostics.checklist import read_checklist
from marl_stl_agents.run_directory import find_run, read_config, saved_preprocessor
from marl_stl_agents.training.run import train

from marl_stl_env.errors import MarlStlError
from tests.agents.training.small_runs import small, without_evaluation

#: A value that a field may be replaced with, of any type of JSON.
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
_QUICK = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        without_evaluation(patch)
        yield train(small(tmp_path_factory.mktemp("runs") / "run", iterations=2))


def replace_somewhere(content: Any, draw: st.DataObject) -> Any:
    """The same JSON with one value, at any depth, replaced or left out."""
    if isinstance(content, dict) and content and draw.draw(st.booleans()):
        name = draw.draw(st.sampled_from(sorted(content)))
        if draw.draw(st.booleans()):
            return content | {name: replace_somewhere(content[name], draw)}
        return {key: value for key, value in content.items() if key != name}
    if isinstance(content, list) and content and draw.draw(st.booleans()):
        place = draw.draw(st.integers(0, len(content) - 1))
        changed = replace_somewhere(content[place], draw)
        return [*content[:place], changed, *content[place + 1 :]]
    return draw.draw(_VALUES)


def damage(path: Path, draw: st.DataObject) -> None:
    content = path.read_bytes()
    if path.suffix == ".json" and draw.draw(st.booleans()):
        path.write_text(json.dumps(replace_somewhere(json.loads(content), draw)))
        return
    place = draw.draw(st.integers(0, len(content)))
    path.write_bytes(content[:place] + draw.draw(st.binary(max_size=4)) + content[place + 4 :])


def readers(width: int) -> list[Callable[[Path], Any]]:
    """All that ``--resume``, an evaluation and a report read of a run."""
    space = spaces.Box(-5, 5, (width,), dtype=np.float32)
    return [
        find_run,
        read_config,
        saved_preprocessor,
        read_checklist,
        read_progress,
        lambda run: load_trainer(newest_checkpoint(run) or best_checkpoint(run)),
        lambda run: saved_policy(best_checkpoint(run), space, torch.device("cpu")),
    ]


def width_of(run: Path) -> int:
    return read_architecture(best_checkpoint(run)).observation_width


def test_a_whole_run_is_read(trained: Path) -> None:
    for reader in readers(width_of(trained)):
        assert reader(trained) is not None


def check(trained: Path, draw: st.DataObject) -> None:
    width = width_of(trained)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        shutil.copytree(trained, run)
        files = sorted(
            path for path in run.rglob("*") if path.is_file() and "tfevents" not in path.name
        )
        damage(draw.draw(st.sampled_from(files)), draw)
        for reader in readers(width):
            with suppress(MarlStlError):
                reader(run)


@settings(_QUICK, max_examples=60)
@given(st.data())
def test_a_damaged_run_is_read_or_refused(trained: Path, data: st.DataObject) -> None:
    check(trained, data)


@pytest.mark.slow
@settings(_QUICK, max_examples=1000)
@given(st.data())
def test_a_thousand_damaged_runs_are_read_or_refused(trained: Path, data: st.DataObject) -> None:
    check(trained, data)


@pytest.mark.parametrize("architecture", [[], 7, None, "shared"])
def test_an_architecture_that_is_no_mapping_is_refused(
    trained: Path, tmp_path: Path, architecture: object
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    checkpoint = best_checkpoint(run)
    facts = checkpoint.path / "checkpoint.json"
    stated = json.loads(facts.read_text()) | {"architecture": architecture}
    facts.write_text(json.dumps(stated))
    with pytest.raises(MarlStlError, match="mapping"):
        read_architecture(checkpoint)
