"""What every data set must do, by its name in the registry."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from marl_stl_agents.commands.data import describe

from marl_stl_env.config import DataConfig, EnvConfig, make_config
from marl_stl_env.data import TrafficTable, dataset_info, load_dataset, prepare
from marl_stl_env.data.ingest.cache import cache_dir
from marl_stl_env.data.prepare import prepare_in_memory
from marl_stl_env.data.registry import datasets
from marl_stl_env.errors import (
    DataFileNotFoundError,
    DownloadError,
    MarlStlError,
    UnknownNameError,
)

from .samples import CUSTOM_OPTIONS, SAMPLES, cic_flows

FILES = [name for name in datasets() if name != "synthetic"]
DOCS = Path(__file__).parents[2] / "docs" / "guide" / "datasets.md"


def load(name: str, folder: Path) -> TrafficTable:
    return load_dataset(name, data_dir=folder, **SAMPLES[name](folder))


def entries() -> set[str]:
    """Everything in the cache, drafts included."""
    return {str(p) for kind in ("tables", "prepared") for p in (cache_dir() / kind).glob("*")}


def same(one: TrafficTable, two: TrafficTable) -> None:
    left, right = one.state(), two.state()
    for name in ("features", "labels", "families", "entities", "times", "official_test"):
        np.testing.assert_array_equal(left.pop(name), right.pop(name))
    left.pop("posterior"), right.pop("posterior")
    assert left == right


@pytest.mark.parametrize("name", datasets())
def test_has_a_sample(name: str) -> None:
    assert name in SAMPLES, "add a tiny generated file of this data set to samples.py"


@pytest.mark.parametrize("name", datasets())
def test_table(name: str, tmp_path: Path) -> None:
    table = load(name, tmp_path)
    assert table.name == name
    assert 0.05 < table.threat_rate < 0.95
    assert table.features.dtype == np.float32
    assert len(table.views) >= (1 if name == "custom" else 4)
    if name == "custom":  # where the family has a column of its own
        threats = {"scan": True, "flood": True, "none": False}
    else:
        threats = {}
        for code, family in enumerate(table.family_names):
            found = table.labels[table.families == code]
            assert found.all() or not found.any(), family
            threats[family] = bool(found.any())
    assert set(threats.values()) == {True, False}
    for column in table.feature_names:
        if column in table.categories:
            codes = table.features[:, table.feature_names.index(column)]
            assert codes.max() < len(table.categories[column])
        assert column.lower() not in ("label", "attack_cat", "difficulty", "id", "srcip", "srcaddr")


@pytest.mark.parametrize("name", FILES)
def test_second_time_from_the_cache(name: str, tmp_path: Path) -> None:
    options = SAMPLES[name](tmp_path)
    first = load_dataset(name, data_dir=tmp_path, **options)
    before = entries()
    second = load_dataset(name, data_dir=tmp_path, **options)
    assert entries() == before
    same(first, second)
    assert isinstance(second.features, np.memmap)
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert dict(second.source) == digests


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_read_again(name: str, tmp_path: Path) -> None:
    options = SAMPLES[name](tmp_path)
    before = len(load_dataset(name, data_dir=tmp_path, **options))
    path = next(p for p in sorted(tmp_path.rglob("*")) if p.is_file())
    if path.suffix == ".gz":
        pytest.skip("lines cannot be cut from a compressed file")
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:-11]) + b"\n")
    assert len(load_dataset(name, data_dir=tmp_path, **options)) == before - 10


@pytest.mark.parametrize("name", datasets())
def test_prepared_alike_in_memory_and_mapped(name: str, tmp_path: Path) -> None:
    options = SAMPLES[name](tmp_path)
    config = EnvConfig(data=DataConfig(dataset=name, data_dir=tmp_path, dataset_options=options))  # type: ignore[arg-type]
    mapped = prepare(config)
    plain = prepare_in_memory(config.data, load_dataset(name, data_dir=tmp_path, **options))
    assert mapped.preprocessor == plain.preprocessor
    assert mapped.report == plain.report
    assert dict(mapped.raw.views) == dict(plain.raw.views)
    for split, table in mapped.tables.items():
        np.testing.assert_array_equal(mapped.rows[split], plain.rows[split])
        same(table, plain.tables[split])
        assert (table.features >= mapped.preprocessor.low).all()
        assert (table.features <= mapped.preprocessor.high).all()
    if name != "synthetic":
        assert isinstance(mapped.tables["train"].features, np.memmap)


#: The sets whose samples tell hosts apart, and how many.
HOSTS = {
    "synthetic": 250,
    "unsw-nb15-raw": 7,
    "ctu-13": 9,
    "custom": 4,
    "zeek": 6,
    "cic-ids2017 flows": 5,
}
SPLITTING: list[dict[str, Any]] = [
    {},
    {"threat_rate": 0.2},
    {"drop_duplicates": True},
    {"split_method": "temporal"},
]


@pytest.mark.parametrize("settings", SPLITTING)
@pytest.mark.parametrize("name", [*datasets(), "cic-ids2017 flows"])
def test_entities_and_their_time_order(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    """Every split knows the host of each of its events, and shows a host's events in time order."""
    make = cic_flows if name.endswith("flows") else SAMPLES[name]
    options: Any = make(tmp_path)
    config = EnvConfig(
        data=DataConfig(
            dataset=name.removesuffix(" flows"), data_dir=tmp_path, dataset_options=options
        )
    )
    raw = prepare(config).raw
    if name not in HOSTS:
        assert (raw.entities, raw.times) == (None, None)
        return
    assert raw.entities is not None
    assert 0 <= raw.entities.min() <= raw.entities.max() < HOSTS[name]
    prepared = prepare(make_config(config, settings))
    for split, table in prepared.tables.items():
        rows = prepared.rows[split]
        assert table.entities is not None
        assert table.entities.dtype == np.int32
        np.testing.assert_array_equal(table.entities, raw.entities[rows])
        assert table.times is not None
        assert raw.times is not None
        np.testing.assert_array_equal(table.times, raw.times[rows])
        assert (np.diff(rows) > 0).all()
        assert (np.diff(table.times) >= 0).all()


@pytest.mark.parametrize("name", FILES)
def test_missing_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    options: dict[str, Any] = {"path": "none.csv", "label": "x"} if name == "custom" else {}
    with pytest.raises(DataFileNotFoundError) as caught:
        load_dataset(name, data_dir=tmp_path, **options)
    assert str(tmp_path) in str(caught.value) or name == "custom"
    assert dataset_info(name).homepage in str(caught.value)


@pytest.mark.parametrize("name", ["unsw-nb15-raw", "ctu-13"])
def test_download_without_an_address(name: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="by hand from https://"):
        load_dataset(name, data_dir=tmp_path, download=True)


@pytest.mark.parametrize("name", datasets())
def test_downloads_have_checksums(name: str) -> None:
    for download in dataset_info(name).downloads:
        assert re.fullmatch("[0-9a-f]{64}", download.sha256)
        assert download.urls
        assert all(re.match("https?://", url) for url in download.urls)


@pytest.mark.parametrize("name", datasets())
def test_unknown_option(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="option of data set"):
        load_dataset(name, data_dir=tmp_path, nonsense=1)


@pytest.mark.parametrize("name", datasets())
def test_documented(name: str) -> None:
    info = dataset_info(name)
    text = " ".join(DOCS.read_text(encoding="utf-8").split())
    assert info.licence
    assert info.citation
    for piece in (f"`{name}`", info.licence, info.citation, *info.dropped, *info.defects):
        assert piece in text, piece
    described = "\n".join(describe(name))
    for piece in (info.licence, info.citation, *info.dropped, *info.defects):
        assert piece in described


@pytest.mark.parametrize("name", ["unsw-nb15", "cic-ids2017", "ctu-13", "custom"])
def test_any_column_order_gives_the_same_table(name: str, tmp_path: Path) -> None:
    options = SAMPLES[name](tmp_path)
    one = load_dataset(name, data_dir=tmp_path, **options)
    for path in tmp_path.rglob("*.*"):
        lines = [line.split(b",") for line in path.read_bytes().splitlines()]
        order = random.Random(3).sample(range(len(lines[0])), len(lines[0]))
        path.write_bytes(b"".join(b",".join(f[i] for i in order) + b"\n" for f in lines))
    two = load_dataset(name, data_dir=tmp_path, **options)
    assert one.source != two.source
    left, right = ({**t.state(), "source": {}} for t in (one, two))
    same(TrafficTable.of_checked(left), TrafficTable.of_checked(right))


def test_flow_files_have_hosts_and_times(tmp_path: Path) -> None:
    cic_flows(tmp_path)
    table = load_dataset("cic-ids2017", data_dir=tmp_path)
    assert table.entities is not None
    assert len(np.unique(table.entities)) == 5
    assert table.times is not None
    assert np.diff(table.times).tolist() == [60] * 239
    assert table.times[0] // 3600 % 24 == 11
    assert table.times[-1] // 3600 % 24 == 14
    assert (
        prepare(
            EnvConfig(
                data=DataConfig(dataset="cic-ids2017", data_dir=tmp_path, split_method="temporal")
            )
        )
        .tables["train"]
        .entities
        is not None
    )


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Damage as it happens: cut, overwritten, doubled, swapped or missing pieces."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) or 1)
        kind = rng.randrange(6)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at : at + rng.randint(1, 8)] = rng.randbytes(rng.randint(0, 8))
        elif kind == 2:
            data[at:at] = data[at : at + rng.randint(1, 200)]
        elif kind == 3:
            data[at:at] = rng.choice([b",", b'"', b"\n", b"\r", b"\x00", b"nan", b"-inf", b"\xff"])
        elif kind == 4:
            del data[at : at + rng.randint(1, 200)]
        else:
            data[at : at + 1] = rng.choice([b"0", b"e", b";", b" ", b"1e999"])
    return bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_fuzz(name: str, tmp_path: Path) -> None:
    """Damaged files load or are refused by a typed error; a refusal leaves no trace."""
    options: dict[str, Any] = SAMPLES[name](tmp_path)
    paths = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    originals = [path.read_bytes() for path in paths]
    rng, refused = random.Random(name), 0
    for turn in range(12):
        path, original = rng.choice(list(zip(paths, originals, strict=True)))
        path.write_bytes(rng.randbytes(300) if turn % 8 == 0 else mutate(original, rng))
        before = entries()
        try:
            load_dataset(name, data_dir=tmp_path, **options)
        except MarlStlError:
            refused += 1
            assert entries() == before
        path.write_bytes(original)
    assert refused >= 3


def test_fuzz_parquet(tmp_path: Path) -> None:
    SAMPLES["custom"](tmp_path)
    path = tmp_path / "flows.parquet"
    pd.read_csv(tmp_path / "flows.csv").to_parquet(path)
    original, rng, refused = path.read_bytes(), random.Random(0), 0
    for turn in range(60):
        path.write_bytes(rng.randbytes(300) if turn % 8 == 0 else mutate(original, rng))
        before = entries()
        try:
            load_dataset("custom", path=path, **CUSTOM_OPTIONS)
        except MarlStlError:
            refused += 1
            assert entries() == before
    assert refused >= 30
