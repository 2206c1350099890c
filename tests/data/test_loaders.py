"""What is peculiar to single data sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import TrafficTable, load_dataset, prepare, split_rows
from marl_stl_env.data.datasets import unsw_nb15
from marl_stl_env.data.registry import parse_options
from marl_stl_env.errors import DataFileNotFoundError

from .samples import (
    CIC_LABELS,
    CUSTOM_COLUMNS,
    CUSTOM_OPTIONS,
    SAMPLES,
    UNSW_COLUMNS,
    cic_rows,
    ctu_rows,
    custom_rows,
    kdd_rows,
    unsw_raw_rows,
    unsw_rows,
    write_csv,
)


def values(table: TrafficTable, column: str) -> Any:
    return table.features[:, table.feature_names.index(column)]


def test_unsw_one_file_alone(tmp_path: Path) -> None:
    write_csv(tmp_path / unsw_nb15.TESTING, unsw_rows(0), UNSW_COLUMNS)
    table = load_dataset("unsw-nb15", data_dir=tmp_path)
    assert table.official_test is None
    assert split_rows(table)[1].method == "stratified"


def test_unsw_rows_are_shuffled_whole(tmp_path: Path) -> None:
    rows = unsw_rows(0)
    write_csv(tmp_path / unsw_nb15.TESTING, rows, UNSW_COLUMNS)
    table = load_dataset("unsw-nb15", data_dir=tmp_path)
    found = values(table, "dur").astype(int).tolist()
    assert found != [int(row["dur"]) for row in rows]
    by_duration = {int(row["dur"]): row for row in rows}  # unique in the sample
    for i, duration in enumerate(found):
        row = by_duration[duration]
        assert table.labels[i] == (row["label"] == "1")
        assert table.family_names[table.families[i]] == row["attack_cat"]
        assert values(table, "sjit")[i] == float(row["sjit"])


@pytest.mark.parametrize("swapped", [False, True])
def test_unsw_files_are_told_apart_by_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: bool
) -> None:
    monkeypatch.setattr(unsw_nb15, "TRAINING_ROWS", 240)
    monkeypatch.setattr(unsw_nb15, "TESTING_ROWS", 100)
    names = [unsw_nb15.TRAINING, unsw_nb15.TESTING]
    big, small = names[::-1] if swapped else names
    write_csv(tmp_path / big, unsw_rows(0), UNSW_COLUMNS)
    write_csv(tmp_path / small, unsw_rows(1)[:100], UNSW_COLUMNS)
    official = load_dataset("unsw-nb15", data_dir=tmp_path).official_test
    assert official is not None
    assert official.sum() == 100


def test_unsw_raw(tmp_path: Path) -> None:
    SAMPLES["unsw-nb15-raw"](tmp_path)
    table = load_dataset("unsw-nb15-raw", data_dir=tmp_path)
    rows = unsw_raw_rows()
    assert table.family_names == ("Normal", "Fuzzers", "Backdoor")
    assert table.times is not None
    assert table.entities is not None
    np.testing.assert_array_equal(table.times, [float(row["stime"]) for row in rows])
    assert len(np.unique(table.entities)) == 7
    assert np.isnan(values(table, "ct_ftp_cmd")[:200]).all()
    assert not {"srcip", "stime", "ltime", "dsport"} & set(table.feature_names)


def test_unsw_raw_header_line_and_parts(tmp_path: Path) -> None:
    from marl_stl_env.data.datasets.unsw_nb15_raw import COLUMNS

    write_csv(tmp_path / "UNSW-NB15_1_head.csv", unsw_raw_rows(), COLUMNS, header=True)
    assert len(load_dataset("unsw-nb15-raw", data_dir=tmp_path)) == 240
    write_csv(tmp_path / "UNSW-NB15_2.csv", unsw_raw_rows()[:99], COLUMNS, header=False)
    assert len(load_dataset("unsw-nb15-raw", data_dir=tmp_path)) == 99  # whole files come first


def test_cic_defects(tmp_path: Path) -> None:
    SAMPLES["cic-ids2017"](tmp_path)
    table = load_dataset("cic-ids2017", data_dir=tmp_path)
    assert len(table) == 240  # neither the repeated header nor the empty row
    assert table.family_names == ("BENIGN", "Bot", "Web Attack - XSS")
    rates = values(table, "Flow Bytes/s")
    assert np.isinf(rates).sum() == 5
    assert np.isnan(rates).sum() == 10
    columns = [column for view in table.views.values() for column in view]
    assert sorted(columns) == list(range(76))
    assert all(len(view) > 10 for view in table.views.values())
    assert np.bincount(table.families).tolist() == [120, 60, 60]
    assert len(CIC_LABELS) == 4


@pytest.mark.parametrize("dash", ["\u2013", "\ufffd", "-", "\x96"])
def test_cic_dashes(tmp_path: Path, dash: str) -> None:
    from .samples import CIC_COLUMNS

    rows = cic_rows()
    for row in rows:
        row["Label"] = row["Label"].replace("\x96", dash)
    write_csv(tmp_path / "a.csv", rows, CIC_COLUMNS)
    table = load_dataset("cic-ids2017", data_dir=tmp_path)
    assert table.family_names == ("BENIGN", "Bot", "Web Attack - XSS")


def test_cic_second_header_length(tmp_path: Path) -> None:
    from .samples import CIC_COLUMNS

    path = write_csv(tmp_path / "a.csv", cic_rows(), (*CIC_COLUMNS, "Fwd Header Length.1"))
    path.write_text(path.read_text().replace("Fwd Header Length.1", "Fwd Header Length"))
    assert load_dataset("cic-ids2017", data_dir=tmp_path).features.shape == (240, 76)


def test_ctu(tmp_path: Path) -> None:
    SAMPLES["ctu-13"](tmp_path)
    table = load_dataset("ctu-13", data_dir=tmp_path)
    assert table.family_names == ("background", "from-botnet V42", "normal", "to-botnet")
    assert np.bincount(table.families, table.labels).tolist() == [0, 48, 0, 0]
    assert table.times is not None
    assert table.times[0] == pytest.approx(1312966800.047277, abs=1e-6)  # 2011-08-10 09:00 UTC
    assert np.diff(table.times).tolist() == pytest.approx([1] * 239)
    alone = load_dataset("ctu-13", data_dir=tmp_path, background="drop")
    assert len(alone) == 240 - 96
    assert "background" not in [alone.family_names[code] for code in alone.families]
    assert len(ctu_rows()) == 240


def test_kdd99_copy_of_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SAMPLES["kdd99"](tmp_path / "local")
    rows = kdd_rows(["normal.", "smurf.", "back."])
    names = [name for name in rows[0] if name not in ("label", "difficulty")]
    from marl_stl_env.data.datasets.nsl_kdd import CATEGORICAL, FEATURES

    assert set(names) == set(FEATURES)
    data = [[r[n].encode() if n in CATEGORICAL else int(r[n]) for n in FEATURES] for r in rows]
    joblib = pytest.importorskip("joblib")
    folder = tmp_path / "sklearn" / "kddcup99_10-py3"
    folder.mkdir(parents=True)
    joblib.dump(np.array(data, dtype=object), folder / "samples")
    joblib.dump(np.array([r["label"].encode() for r in rows], dtype=object), folder / "targets")
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "sklearn"))
    ours = load_dataset("kdd99", data_dir=tmp_path / "none")
    local = load_dataset("kdd99", data_dir=tmp_path / "local")
    np.testing.assert_array_equal(ours.features, local.features)
    np.testing.assert_array_equal(ours.labels, local.labels)
    assert ours.family_names == local.family_names == ("normal", "smurf", "back")


def custom_frame() -> pd.DataFrame:
    frame = pd.DataFrame(custom_rows())
    for name in ("bytes", "packets", "rate", "when", "is_attack"):
        frame[name] = pd.to_numeric(frame[name])
    return frame


def test_custom_csv_parquet_and_frame_agree(tmp_path: Path) -> None:
    frame = custom_frame()
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    tables = [load_dataset("custom", frame=frame, **CUSTOM_OPTIONS)]
    for name in ("a.parquet", "a.csv.gz"):
        tables.append(load_dataset("custom", data_dir=tmp_path, path=name, **CUSTOM_OPTIONS))
    ordered = frame.sort_values("when", kind="stable")
    for table in tables:
        assert table.feature_names == ("bytes", "packets", "proto", "rate")
        np.testing.assert_array_equal(values(table, "rate"), ordered["rate"])
        np.testing.assert_array_equal(table.labels, ordered["is_attack"] == 1)
        np.testing.assert_array_equal(table.times, ordered["when"])
        names = np.array(table.categories["proto"])[values(table, "proto").astype(int)]
        np.testing.assert_array_equal(names, ordered["proto"])
        families = np.array(table.family_names)[table.families]
        np.testing.assert_array_equal(families, ordered["kind"])


def test_custom_options(tmp_path: Path) -> None:
    frame = custom_frame()
    table = load_dataset("custom", frame=frame, label="kind", benign_values="none",
                         drop="host,when,is_attack", categorical=["rate"],
                         views={"a": "bytes,rate", "b": ["packets", "proto"]})  # fmt: skip
    shown = {v: [table.feature_names[c] for c in columns] for v, columns in table.views.items()}
    assert shown == {"a": ["bytes", "rate"], "b": ["packets", "proto"]}
    assert set(table.categories) == {"rate", "proto"}
    np.testing.assert_array_equal(table.labels, frame["kind"] != "none")
    assert (table.entities, table.times) == (None, None)
    assert set(table.family_names) == {"none", "scan", "flood"}


@pytest.mark.parametrize(
    "labels", [[True, False], ["Benign", "x"], [1.0, 0.0], ["NORMAL", "dos"], ["0", "1"]]
)
def test_custom_usual_labels(labels: list[Any]) -> None:
    benign = {False, "Benign", "NORMAL", "0"}
    frame = pd.DataFrame({"x": range(20), "y": labels * 10})
    found = load_dataset("custom", frame=frame, label="y").labels
    np.testing.assert_array_equal(found, [value not in benign for value in labels] * 10)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (["1970-01-01T00:00:01", "1970-01-01 00:00:02.5"], [1, 2.5]),
        (["1970-01-01T02:00:00+02:00", "1969-12-31T23:59:59Z"], [0, -1]),
        ([5, 3], [5, 3]),
        ([pd.Timestamp("1970-01-02"), pd.Timestamp("1970-01-01")], [86_400, 0]),
    ],
)
def test_custom_times(times: list[Any], seconds: list[float]) -> None:
    frame = pd.DataFrame({"x": range(20), "y": [0, 1] * 10, "t": times * 10})
    table = load_dataset("custom", frame=frame, label="y", time="t")
    assert table.times is not None
    np.testing.assert_allclose(table.times, sorted(seconds * 10))


def test_option_texts() -> None:
    found = parse_options(("path=a=b.csv", 'drop=["a"]', "rows=5", "label=x", "none="))
    assert found == {"path": "a=b.csv", "drop": ["a"], "rows": 5, "label": "x", "none": ""}


def test_files_of_other_data_sets_are_left_alone(tmp_path: Path) -> None:
    SAMPLES["unsw-nb15"](tmp_path / "unsw_nb15")
    with pytest.raises(DataFileNotFoundError):
        load_dataset("cic-ids2017", data_dir=tmp_path)
    SAMPLES["cic-ids2017"](tmp_path / "cic_ids2017" / "MachineLearningCVE")
    assert len(load_dataset("cic-ids2017", data_dir=tmp_path)) == 240


def test_a_relative_path_is_settled_with_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is found again from another folder, and in another data folder once it moved."""
    write_csv(tmp_path / "here" / "flows.csv", custom_rows(), CUSTOM_COLUMNS)
    (tmp_path / "there").mkdir()
    options = {"path": "flows.csv", **CUSTOM_OPTIONS}
    monkeypatch.chdir(tmp_path / "here")
    config = EnvConfig(data=DataConfig(dataset="custom", dataset_options=options))  # type: ignore[arg-type]
    assert f"path={tmp_path / 'here' / 'flows.csv'}" in config.data.dataset_options
    monkeypatch.chdir(tmp_path / "there")
    assert len(prepare(config).raw) == 240
    (tmp_path / "here" / "flows.csv").rename(tmp_path / "there" / "flows.csv")
    assert (
        len(prepare(replace(config, data=replace(config.data, data_dir=tmp_path / "there"))).raw)
        == 240
    )
    with pytest.raises(DataFileNotFoundError, match=r"here/flows\.csv"):
        prepare(config)


def test_a_relative_path_may_be_one_of_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(tmp_path / "mine" / "flows.csv", custom_rows(), CUSTOM_COLUMNS)
    options = {"path": "mine/flows.csv", **CUSTOM_OPTIONS}
    monkeypatch.setenv("MARL_STL_DATA_DIR", str(tmp_path))
    config = EnvConfig(data=DataConfig(dataset="custom", dataset_options=options))  # type: ignore[arg-type]
    assert "path=mine/flows.csv" in config.data.dataset_options
    assert len(prepare(config).raw) == 240
