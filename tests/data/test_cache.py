from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marl_stl_env.config import DataConfig, EnvConfig, Order, SplitMethod, make_config
from marl_stl_env.data import load_dataset, prepare
from marl_stl_env.data.datasets import custom
from marl_stl_env.data.ingest.build import build_table
from marl_stl_env.data.ingest.cache import cache_dir, clear_cache, entry, file_digest
from marl_stl_env.data.ingest.manifest import file_state
from marl_stl_env.data.ingest.store import open_array, open_table, release, save_table
from marl_stl_env.data.prepare import _prepare, prepare_in_memory
from marl_stl_env.engine.dynamics import replay_order
from marl_stl_env.errors import CacheError, DataFormatError

from .samples import SAMPLES


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARL_STL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_where_it_is(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == own_cache
    monkeypatch.delenv("MARL_STL_CACHE_DIR")
    assert "marl-stl-env" in str(cache_dir())


def test_round_trip(tmp_path: Path) -> None:
    table = load_dataset("synthetic", rows=500)
    save_table(table, tmp_path / "t")
    opened = open_table(tmp_path / "t")
    for name, value in table.state().items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(opened, name), value)
        else:
            assert getattr(opened, name) == value
    release(opened.features)  # the pages come back when they are read again
    np.testing.assert_array_equal(opened.features, table.features)
    assert not opened.labels.flags.writeable


def test_processes_share_mapped_tables(tmp_path: Path) -> None:
    save_table(load_dataset("synthetic", rows=2_000), tmp_path / "t")
    table = open_table(tmp_path / "t")
    pickled = pickle.dumps(table)
    assert len(pickled) < 10_000
    copy = pickle.loads(pickled)
    assert isinstance(copy.features, np.memmap)
    np.testing.assert_array_equal(copy.features, table.features)
    part = table.take(np.arange(10))  # no longer a whole file
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).features, table.features[:10])


def test_a_failed_build_leaves_nothing(own_cache: Path) -> None:
    def build(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").write_text("x")
        raise CacheError("stop")

    with pytest.raises(CacheError):
        entry("tables", "key", build)
    assert list((own_cache / "tables").iterdir()) == []


def test_two_builders_of_one_entry(own_cache: Path) -> None:
    def build(folder: Path) -> None:
        (own_cache / "tables" / "key").mkdir(parents=True)  # another process was faster
        (own_cache / "tables" / "key" / "theirs").touch()
        folder.mkdir()
        (folder / "ours").touch()

    folder = entry("tables", "key", build)
    assert [path.name for path in folder.iterdir()] == ["theirs"]


def test_digest_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_digest(path) == file_digest(path) == known
    path.write_bytes(b"abd")
    os.utime(path, ns=(0, 7))
    assert file_digest(path) != known


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("unpickled",)


def pickled(path: Path) -> None:
    """A raw pickle of the same size under the name of the file."""
    size, content = path.stat().st_size, pickle.dumps(Bomb())
    path.write_bytes(content + bytes(max(0, size - len(content))))


def edited(path: Path) -> None:
    """Another last byte, with the size and the times of before."""
    state, content = path.stat(), path.read_bytes()
    with path.open("r+b") as handle:
        handle.write(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("victim", ["table.json", "features.npy", "labels.npy", "entities.npy"])
@pytest.mark.parametrize("damage", [cut, Path.unlink, pickled, edited])
def test_damaged_entries_are_rebuilt(
    tmp_path: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    victim: str,
    damage: Callable[[Path], object],
) -> None:
    monkeypatch.chdir(tmp_path)
    options = SAMPLES["custom"](tmp_path)
    before = load_dataset("custom", **options)
    want = {name: np.array(getattr(before, name)) for name in ("features", "labels", "entities")}
    damage(next(own_cache.rglob(victim)))
    after = load_dataset("custom", **options)
    for name, array in want.items():
        np.testing.assert_array_equal(getattr(after, name), array)
    assert not (tmp_path / "unpickled").exists()


def test_an_array_that_is_not_listed_is_not_taken(tmp_path: Path, own_cache: Path) -> None:
    options = SAMPLES["custom"](tmp_path)
    before = load_dataset("custom", **options)
    assert before.official_test is None
    (folder,) = (own_cache / "tables").iterdir()
    np.save(folder / "official_test.npy", np.zeros(len(before), bool))
    assert load_dataset("custom", **options).official_test is None


def test_a_copied_cache_is_whole_and_stays(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SAMPLES["custom"](tmp_path)
    load_dataset("custom", **options)
    shutil.copytree(own_cache / "tables", tmp_path / "copy" / "tables")
    monkeypatch.setenv("MARL_STL_CACHE_DIR", str(tmp_path / "copy"))
    (features,) = (tmp_path / "copy").rglob("features.npy")
    state = file_state(features)
    load_dataset("custom", **options)
    assert file_state(features) == state


@pytest.mark.parametrize("form", ["raw", "npy"])
def test_an_array_is_never_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "labels.npy"
    if form == "raw":
        path.write_bytes(pickle.dumps(Bomb()))
    else:
        np.save(path, np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(CacheError, match=r"labels\.npy is damaged"):
        open_array(path)
    assert not (tmp_path / "unpickled").exists()
    np.load(path, allow_pickle=True)
    assert (tmp_path / "unpickled").exists()  # it is a bomb


def test_an_edit_that_keeps_size_and_time_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    path.write_text("x,z,y\n" + "".join(f"1,{i},{i % 2}\n" for i in range(9)))
    options = {"path": str(path), "label": "y"}
    state = path.stat()
    assert load_dataset("custom", **options).features[:, 0].tolist() == [1.0] * 9  # type: ignore[arg-type]
    with path.open("r+") as handle:
        handle.write(path.read_text().replace("\n1,", "\n7,"))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert load_dataset("custom", **options).features[:, 0].tolist() == [7.0] * 9  # type: ignore[arg-type]


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SAMPLES["custom"](tmp_path)
    path = tmp_path / "flows.csv"
    good = path.read_text()

    def changing(*args: object, **kwargs: object) -> object:
        path.write_text(good.replace("tcp", "gre"))
        return build_table(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(custom, "build_table", changing)
    with pytest.raises(DataFormatError, match="changed while it was read"):
        load_dataset("custom", **options)
    assert not list((own_cache / "tables").iterdir())
    monkeypatch.undo()
    monkeypatch.setenv("MARL_STL_CACHE_DIR", str(own_cache))
    path.write_text(good)
    assert load_dataset("custom", **options).categories["proto"] == ("tcp", "udp", "icmp")


def test_drafts_of_dead_processes_are_removed(own_cache: Path) -> None:
    """tests/test_files.py has the cases."""
    for kind in ("prepared", "tables"):
        (own_cache / kind / ".dead.a1b2c3d4.tmp" / "dead").mkdir(parents=True)
        os.utime(own_cache / kind / ".dead.a1b2c3d4.tmp", (0, 0))
    entry("tables", "key", Path.mkdir)
    assert [path.name for path in own_cache.glob("*/*")] == ["key"]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(150, 400),
    st.sampled_from(["stratified", "temporal"]),
    st.sampled_from([None, 0.3]),
    st.booleans(),
)
def test_mapped_equals_in_memory(
    tmp_path: Path, seed: int, rows: int, method: SplitMethod, rate: float | None, once: bool
) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.integers(0, 40, (rows, 3)), columns=["a", "b", "c"])
    frame["c"] = frame["c"].astype(float).where(frame["c"] > 2)
    frame["d"] = rng.choice(["x", "y", "z"], rows)
    frame["t"], frame["bad"] = rng.permutation(rows), np.arange(rows) % 3 == 0
    path = tmp_path / f"{seed}.csv"
    frame.to_csv(path, index=False)
    options = {"path": str(path), "label": "bad", "time": "t"}
    data = DataConfig(
        dataset="custom",
        dataset_options=options,  # type: ignore[arg-type]
        split_method=method,
        split_seed=seed,
        threat_rate=rate,
        drop_duplicates=once,
    )
    config = EnvConfig(data=data)
    mapped = prepare(config)
    options["frame"] = frame  # type: ignore[assignment]
    del options["path"]
    plain = prepare_in_memory(data, load_dataset("custom", **options))  # type: ignore[arg-type]
    assert mapped.report == plain.report
    assert mapped.preprocessor == plain.preprocessor
    for split, table in mapped.tables.items():
        np.testing.assert_array_equal(mapped.rows[split], plain.rows[split])
        np.testing.assert_array_equal(table.features, plain.tables[split].features)
        np.testing.assert_array_equal(table.labels, plain.tables[split].labels)
        assert dict(table.views) == dict(plain.tables[split].views)


def test_a_file_that_changes_while_the_process_runs(tmp_path: Path) -> None:
    config = make_config(
        None, {"dataset": "custom", "dataset_options": SAMPLES["custom"](tmp_path)}
    )
    before = prepare(config)
    path = tmp_path / "flows.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:200]) + "\n")
    assert len(prepare(config).raw) == 199 != len(before.raw)
    assert prepare(config) is prepare(config)


def test_prepared_once_per_setting(tmp_path: Path, own_cache: Path) -> None:
    config = make_config(
        None, {"dataset": "custom", "dataset_options": SAMPLES["custom"](tmp_path)}
    )
    first = prepare(config)
    _prepare.cache_clear()
    again = prepare(config)
    assert first.folder == again.folder
    other = prepare(make_config(config, {"holdout_families": ("scan",)}))
    assert other.folder != first.folder
    assert len(list((own_cache / "prepared").iterdir())) == 2
    assert len(list((own_cache / "tables").iterdir())) == 1
    assert clear_cache() > 0
    assert not list(own_cache.rglob("*.npy"))


@pytest.mark.parametrize("order", ["time", "shuffled"])
def test_the_cached_replay_order_is_read_only(order: Order) -> None:
    places = replay_order(9, order)
    assert sorted(places[:-1].tolist()) == list(range(9))
    with pytest.raises(ValueError, match="read-only"):
        places[0] = 1
    assert replay_order(9, order) is places
