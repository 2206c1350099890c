"""The public files: counts and digests of their publishers, known defects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from marl_stl_env.config import DataConfig, EnvConfig
from marl_stl_env.data import TrafficTable, dataset_info, load_dataset, prepare, split_rows
from marl_stl_env.data.splits.duplicates import find_duplicates

# ruff: noqa: E501 - digests
pytestmark = pytest.mark.data


def counts(table: TrafficTable) -> dict[str, int]:
    found = np.bincount(table.families, minlength=len(table.family_names))
    return dict(zip(table.family_names, found.tolist(), strict=True))


def test_unsw(data_dir: Path) -> None:
    table = load_dataset("unsw-nb15", data_dir=data_dir)
    assert dict(table.source) == {
        "UNSW_NB15_testing-set.csv": "734fe6642edf758f7c94d7d9149426b49d202fe8e7bf0bef47392489c3c0a559"
    }
    published = {download.name: download.sha256 for download in dataset_info("unsw-nb15").downloads}
    assert dict(table.source).items() <= published.items()
    assert len(table) == 82_332
    assert counts(table) == {
        "Normal": 37_000, "Generic": 18_871, "Exploits": 11_132, "Fuzzers": 6_062, "DoS": 4_089,
        "Reconnaissance": 3_496, "Analysis": 677, "Backdoor": 583, "Shellcode": 378, "Worms": 44,
    }  # fmt: skip
    assert table.labels.sum() == 82_332 - 37_000
    found = find_duplicates(table.features)
    assert (found.count, found.extra) == (53_946, 28_386)
    first = np.unique(found.groups, return_index=True)[1]
    assert table.labels[first].mean() == pytest.approx(0.366, abs=0.001)
    assert table.features[:, table.feature_names.index("is_ftp_login")].max() == 2
    assert split_rows(table)[1].method == "stratified"


def test_unsw_raw(data_dir: Path) -> None:
    table = load_dataset("unsw-nb15-raw", data_dir=data_dir)
    assert dict(table.source) == {
        "UNSW-NB15_1_head20000.csv": "074ea060b2553e526669007daa39431eb01e07a8703dd9a9ffd2529b147cb970"
    }
    assert (len(table), int(table.labels.sum())) == (20_000, 1_572)
    assert table.times is not None
    assert table.times[-1] - table.times[0] == pytest.approx(801, abs=1)
    assert table.entities is not None
    # Every attack comes from four addresses, of which a fourth of the flows is benign.
    attackers = np.unique(table.entities[table.labels])
    assert len(attackers) <= 4
    suspected = np.isin(table.entities, attackers)
    assert table.labels[suspected].mean() == pytest.approx(0.759, abs=0.001)


def test_kdd99(data_dir: Path) -> None:
    table = load_dataset("kdd99", data_dir=data_dir)
    assert dict(table.source) == {
        "kddcup.data_10_percent.gz": "8045aca0d84e70e622d1148d7df782496f6333bf6eb979a1b0837c42a9fd9561"
    }
    assert len(table) == 494_021
    assert table.threat_rate == pytest.approx(0.803, abs=0.0005)
    assert counts(table)["normal"] == 97_278
    assert len(table.family_names) == 23
    # Of the lines; the features alone repeat a little more often.
    assert find_duplicates(table.features).extra / len(table) == pytest.approx(0.705, abs=0.001)


@pytest.mark.long
def test_kdd99_can_be_split(data_dir: Path) -> None:
    prepared = prepare(
        EnvConfig(data=DataConfig(dataset="kdd99", data_dir=data_dir, drop_duplicates=True))
    )
    assert prepared.report.dropped_duplicates > 340_000
    rates = [part.threat_rate for part in prepared.report.parts.values()]
    assert max(rates) - min(rates) < 0.001


def test_cic(data_dir: Path) -> None:
    bot = load_dataset("cic-ids2017", data_dir=data_dir, pattern="Bot_sample.csv")
    assert counts(bot) == {"BENIGN": 4_588, "Bot": 1_966}
    mixed = load_dataset("cic-ids2017", data_dir=data_dir, pattern="mixed_sample.csv")
    assert len(mixed) == 6_311
    assert counts(mixed)["BENIGN"] == 227
    assert len(mixed.family_names) == 7
    assert np.isinf(mixed.features).sum() == 20
    both = load_dataset("cic-ids2017", data_dir=data_dir)
    assert len(both) == 6_554 + 6_311
    assert dict(both.source) == {
        "Bot_sample.csv": "c17c42d7e9c74e7f61c21ef0e25744751b8996e88312c1d49da4d9a6e5401184",
        "mixed_sample.csv": "7c84c1d4440e46c90127851c3921294071ab1979b804af1c2ee70bf84e58dc25",
    }


def test_zeek(data_dir: Path) -> None:
    wants = {
        "iot23_34_1": {"benign": 1_923, "C&C": 6_706, "DDoS": 14_394},
        "stratosphere_008": {"benign": 1_402, "background": 60, "External-Attack-to-Device": 4_201},
        "stratosphere_010": {"External-Attack-to-Device": 3_373},
    }
    rows = {"iot23_34_1": 23_145, "stratosphere_008": 5_663, "stratosphere_010": 5_347}
    for name, want in wants.items():
        path = data_dir / "zeek" / f"{name}.conn.log.labeled"
        table = load_dataset("zeek", path=path)
        assert len(table) == rows[name]
        assert want.items() <= counts(table).items()
        assert table.times is not None


def test_cic_corrected(data_dir: Path) -> None:
    path = data_dir / "cic_ids2017_improved" / "sample_merged.csv.gz"
    table = load_dataset("cic-ids2017", path=path)
    assert (len(table), dict(table.benign)) == (43_419, {"BENIGN": 5_000})
    assert table.times is not None
    assert table.times[0] == pytest.approx(1499083071.590705)  # 2017-07-03 11:57:51.590705
