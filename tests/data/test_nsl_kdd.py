from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import TrafficTable, load_dataset, prepare, split_rows
from marl_stl_env.errors import DataFileNotFoundError, DataFormatError

GOOD = (
    "0,tcp,http,SF,181,5450,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,8,8,0,0,0,0,1,0,0,9,9,1,0,0.11,0,0,0,0,0",
    "2,udp,private,SF,105,146,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,0,0,0,0,1,0,0,255,254,1,0.01,0,0,0,0,0,0",
    "0,icmp,eco_i,S0,18,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,0,0,0,0,1,0,0,1,16,1,0,1,1,0,0,0,0",
)
LABELS = ("normal,20", "neptune,21", "ipsweep,3")
LINES = [f"{fields},{label}" for fields, label in zip(GOOD, LABELS, strict=True)]


def write(folder: Path, train: str | bytes, test: str | None = None) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    content = train if isinstance(train, bytes) else train.encode()
    (folder / "KDDTrain+.txt").write_bytes(content)
    (folder / "KDDTest+.txt").write_text("\n".join(LINES[:2]) + "\n" if test is None else test)
    return folder


def replaced(row: int, column: int, value: str) -> str:
    lines = [line.split(",") for line in LINES]
    lines[row][column] = value
    return "\n".join(",".join(line) for line in lines) + "\n"


TEXT = "\n".join(LINES) + "\n"


@pytest.mark.parametrize("place", ["", "nsl_kdd"])
@pytest.mark.parametrize(
    "text", [TEXT, TEXT.rstrip("\n"), TEXT.replace("\n", "\r\n"), "\ufeff" + TEXT]
)
def test_small_files(tmp_path: Path, place: str, text: str) -> None:
    write(tmp_path / place, text)
    table = load_dataset("nsl-kdd", data_dir=tmp_path)
    assert table.family_names == ("normal", "ipsweep", "neptune")
    assert table.families.tolist() == [0, 2, 1, 0, 2]
    assert table.labels.tolist() == [False, True, True, False, True]
    assert table.official_test is not None
    assert table.official_test.tolist() == [False, False, False, True, True]
    assert table.categories["service"] == ("eco_i", "http", "private")
    assert table.features[:, 2].tolist() == [1, 2, 0, 1, 2]
    assert table.features[:, 5].tolist() == [5450, 146, 0, 5450, 146]
    assert table.features[2, 35] == 1
    assert [len(view) for view in table.views.values()] == [9, 13, 9, 10]
    assert set(table.source) == {"KDDTrain+.txt", "KDDTest+.txt"}


def test_unknown_attack_is_a_new_family(tmp_path: Path) -> None:
    write(tmp_path, replaced(1, 41, "brandnew"))
    table = load_dataset("nsl-kdd", data_dir=tmp_path)
    assert "brandnew" in table.family_names
    assert table.labels[1]


MALFORMED: dict[str, tuple[str | bytes, int | None, str | None, str]] = {
    "empty": ("", 1, None, "empty"),
    "blank": ("\n\n", 1, None, "empty"),
    "too few fields": (LINES[0] + "\n0,tcp,http\n" + LINES[1] + "\n", 2, None, "3 fields instead"),
    "too many fields": (LINES[0] + ",1\n" + LINES[1] + "\n", 1, None, "44 fields instead of 43"),
    "row of empty fields": (
        LINES[0] + "\n" + "," * 42 + "\n" + LINES[1] + "\n", 2, "label", "'' is no NSL-KDD label",
    ),
    "truncated": (TEXT[:-40], 3, None, "cut off"),
    "text in a number": (replaced(1, 4, "many"), 2, "src_bytes", "'many' is not a number"),
    "text in a rate": (replaced(2, 40, "x"), 3, "dst_host_srv_rerror_rate", "'x'"),
    "empty number": (replaced(0, 22, ""), 1, "count", "'' is not a finite"),
    "nan": (replaced(1, 0, "nan"), 2, "duration", "not a finite"),
    "inf": (replaced(2, 5, "inf"), 3, "dst_bytes", "not a finite"),
    "overflow": (replaced(2, 5, "1e300"), 3, "dst_bytes", "exceeds"),
    "truth value": (replaced(2, 6, "True"), 3, "land", "'True' is not a number"),
    "cr in a line": (replaced(1, 4, "1\r5"), 2, None, "5 fields instead of 43"),
    "empty label": (replaced(1, 41, ""), 2, "label", "'' is no NSL-KDD label"),
    "number as label": (replaced(1, 41, "7"), 2, "label", "no NSL-KDD label"),
    "dotted label": (replaced(0, 41, "normal."), 1, "label", "end them with a dot"),
    "capital label": (replaced(0, 41, "Normal"), 1, "label", "'Normal' is no NSL-KDD label"),
    "empty service": (replaced(2, 2, " "), 3, "service", "' ' is not a name"),
    "quoted service": (replaced(2, 2, '"http"'), 3, "service", "not a name"),
    "header": (
        "duration," + ",".join(["x"] * 42) + "\n" + TEXT, 1, "x", "two columns have this name",
    ),
    "bytes that are no text": (
        TEXT.encode().replace(b"udp", b"u\xffp"), 2, "protocol_type", "not UTF-8",
    ),
    "nul byte": (TEXT.encode().replace(b"udp", b"u\x00p"), 2, "protocol_type", "control character"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files(tmp_path: Path, case: str) -> None:
    content, row, column, problem = MALFORMED[case]
    with pytest.raises(DataFormatError, match=problem) as caught:
        load_dataset("nsl-kdd", data_dir=write(tmp_path, content))
    assert Path(caught.value.file).name == "KDDTrain+.txt"
    assert caught.value.column == column
    assert caught.value.row == row


def test_error_in_the_second_file_names_it(tmp_path: Path) -> None:
    write(tmp_path, TEXT, test="junk\n")
    with pytest.raises(DataFormatError, match=r"KDDTest\+\.txt, row 1"):
        load_dataset("nsl-kdd", data_dir=tmp_path)


def test_one_file_of_the_pair(tmp_path: Path) -> None:
    write(tmp_path, TEXT)
    (tmp_path / "KDDTest+.txt").unlink()
    with pytest.raises(DataFileNotFoundError, match=r"KDDTest\+\.txt is missing.*--data-dir"):
        load_dataset("nsl-kdd", data_dir=tmp_path)


def test_no_data_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MARL_STL_DATA_DIR", raising=False)
    with pytest.raises(DataFileNotFoundError, match=r"KDDTrain\+\.txt.*set MARL_STL_DATA_DIR"):
        load_dataset("nsl-kdd")


def test_data_dir_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARL_STL_DATA_DIR", str(write(tmp_path, TEXT)))
    assert len(load_dataset("nsl-kdd")) == 5


@pytest.fixture(scope="module")
def shared() -> dict[str, TrafficTable]:
    return {}


@pytest.fixture
def real(data_dir: Path, shared: dict[str, TrafficTable]) -> TrafficTable:
    if "table" not in shared:
        shared["table"] = load_dataset("nsl-kdd", data_dir=data_dir)
    return shared["table"]


@pytest.mark.data
class TestRealFiles:
    def test_counts_and_digests(self, real: TrafficTable) -> None:
        assert real.official_test is not None
        test = real.official_test
        assert (int((~test).sum()), int(test.sum())) == (125_973, 22_544)
        assert ((~real.labels & ~test).sum(), (~real.labels & test).sum()) == (67_343, 9_711)
        assert dict(real.source) == {
            "KDDTrain+.txt": "1b86d2f957b33082081bba410fe129b475efebcc13c9014c3f447c8271aadf95",
            "KDDTest+.txt": "fa46b0935342616aa83b7c2578db355b6a7aaabbc492248172c7a1e8b7ab8f84",
        }

    def test_same_as_the_csv_module(self, real: TrafficTable, data_dir: Path) -> None:
        path = next(data_dir.rglob("KDDTrain+.txt"))
        with path.open(newline="") as handle:
            lines = list(csv.reader(handle))
        for i in range(0, len(lines), 4999):
            for column, name in enumerate(real.feature_names):
                value = real.features[i, column]
                if name in real.categories:
                    assert real.categories[name][int(value)] == lines[i][column]
                else:
                    assert value == np.float32(lines[i][column])
            assert real.family_names[real.families[i]] == lines[i][41]

    def test_known_defects(self, real: TrafficTable) -> None:
        assert real.official_test is not None
        test = real.official_test
        vectors = [row.tobytes() for row in real.features]
        parts = [np.flatnonzero(~test), np.flatnonzero(test)]
        counts = [Counter(vectors[i] for i in part) for part in parts]
        assert [len(p) - len(c) for p, c in zip(parts, counts, strict=True)] == [16, 57]
        assert sum(vectors[i] in counts[0] for i in parts[1]) == 664
        seen = set(real.families[~test].tolist())
        new = [family for family in real.families[test].tolist() if family not in seen]
        assert (len(new), len(set(new))) == (3_750, 17)
        for part, both in zip(parts, (7, 54), strict=True):
            labels: dict[bytes, set[bool]] = {}
            for i in part:
                labels.setdefault(vectors[i], set()).add(bool(real.labels[i]))
            assert sum(len(found) == 2 for found in labels.values()) == both

    def test_official_split(self, real: TrafficTable) -> None:
        assert real.official_test is not None
        rows, report = split_rows(real)
        assert report.method == "official"
        np.testing.assert_array_equal(rows["test"], np.flatnonzero(real.official_test))
        assert report.removed_duplicates == {"train": 658}
        assert report.parts["train"].rows + report.parts["validation"].rows == 125_973 - 658

    def test_prepared(self, data_dir: Path) -> None:
        prepared = prepare(
            EnvConfig(data=DataConfig(dataset="nsl-kdd", data_dir=data_dir, threat_rate=0.109))
        )
        assert "num_outbound_cmds" in prepared.preprocessor.dropped
        for table in prepared.tables.values():
            assert table.threat_rate == pytest.approx(0.109, abs=1e-4)
            assert (table.features >= prepared.preprocessor.low).all()
            assert (table.features <= prepared.preprocessor.high).all()


def test_without_the_difficulty_and_from_the_fifth(tmp_path: Path) -> None:
    want = load_dataset("nsl-kdd", data_dir=write(tmp_path / "whole", TEXT))
    short = "\n".join(line.rsplit(",", 1)[0] for line in LINES) + "\n"
    folder = write(tmp_path / "short", short)
    (folder / "KDDTrain+.txt").rename(folder / "KDDTrain+_20Percent.txt")
    table = load_dataset("nsl-kdd", data_dir=folder)
    np.testing.assert_array_equal(table.features, want.features)
    np.testing.assert_array_equal(table.labels, want.labels)
    alone = load_dataset("nsl-kdd", path=folder / "KDDTrain+_20Percent.txt")
    assert (len(alone), alone.official_test) == (len(LINES), None)
