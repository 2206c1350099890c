"""Tables of any bytes: a table, or a typed error."""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data.prepare import prepare
from marl_stl_env.errors import MarlStlError

_CELLS = st.one_of(
    st.sampled_from(
        ["0", "1", "-1", "", " ", "nan", "NaN", "inf", "1e400", "1,5", "0x1f", "tcp", "udp",
         "benign", "attack", '"', '""', "\x00", "\u202e", "é", "2026-01-01", "12:00 PM", "-", "?",
         "(empty)"]
    ),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.text(max_size=5),
)  # fmt: skip
_ROWS = st.lists(st.lists(_CELLS, min_size=1, max_size=5), max_size=30)
_TEXT = _ROWS.map(lambda rows: "\n".join(",".join(row) for row in rows).encode("utf-8", "replace"))
#: A well-formed table with a few bytes changed.
_GOOD = b"bytes,proto,label\n" + b"".join(
    b"%d,%s,%d\n" % (i * 7 % 13, (b"tcp", b"udp")[i % 2], i % 3 == 0) for i in range(60)
)
_CHANGES = st.lists(st.tuples(st.integers(0, len(_GOOD) - 1), st.integers(0, 255)), max_size=6)


def changed(changes: list[tuple[int, int]]) -> bytes:
    content = bytearray(_GOOD)
    for place, byte in changes:
        content[place] = byte
    return bytes(content)


def check(content: bytes, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"flows{ending}"
        path.write_bytes(content)
        options = (f"path={path}", "label=label", "benign_values=0")
        try:
            prepared = prepare(
                EnvConfig(data=DataConfig(dataset="custom", dataset_options=options))
            )
        except MarlStlError:
            return
        assert len(prepared.raw) <= content.count(b"\n") + content.count(b"\r") + 1


def test_the_table_that_is_changed_is_one(tmp_path: Path) -> None:
    (tmp_path / "flows.csv").write_bytes(_GOOD)
    options = (f"path={tmp_path / 'flows.csv'}", "label=label", "benign_values=0")
    data = DataConfig(dataset="custom", dataset_options=options)
    assert len(prepare(EnvConfig(data=data)).raw) == 60


_QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
_BYTES = st.one_of(_TEXT, _CHANGES.map(changed), st.binary(max_size=200))
_ENDINGS = st.sampled_from([".csv", ".csv.gz", ".parquet"])


@settings(_QUICK, max_examples=50)
@given(_BYTES, _ENDINGS)
def test_a_file_is_a_table_or_refused(content: bytes, ending: str) -> None:
    check(content, ending)


@pytest.mark.slow
@settings(_QUICK, max_examples=1000)
@given(_BYTES, _ENDINGS)
def test_a_thousand_files_are_tables_or_refused(content: bytes, ending: str) -> None:
    check(content, ending)
