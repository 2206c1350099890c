"""Tiny files in the format of every data set, so that loaders are tested without the real data."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data.datasets import cic_ids2017, ctu_13, nsl_kdd, unsw_nb15, unsw_nb15_raw
from marl_stl_env.data.datasets import zeek as zeek_log

ROWS = 240
Row = dict[str, str]


def rows_of(
    numeric: Sequence[str], labels: Sequence[str], rows: int = ROWS, seed: int = 0
) -> list[Row]:
    """Rows of random numbers whose label goes round robin; every row differs."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 200, (rows, len(numeric)))
    values[:, 0] = rng.permutation(rows)
    return [
        {
            **{n: str(v) for n, v in zip(numeric, line, strict=True)},
            "label": labels[i % len(labels)],
        }
        for i, line in enumerate(values)
    ]


def write_csv(path: Path, rows: list[Row], columns: Sequence[str], header: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, extrasaction="ignore", lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
    return path


def kdd_rows(labels: Sequence[str], seed: int = 0) -> list[Row]:
    numeric = [name for name in nsl_kdd.FEATURES if name not in nsl_kdd.CATEGORICAL]
    rows = rows_of(numeric, labels, seed=seed)
    for i, row in enumerate(rows):
        row |= {"protocol_type": ("tcp", "udp")[i % 2], "service": "http", "flag": "SF"}
        row["difficulty"] = "21"
    return rows


def nsl(folder: Path) -> dict[str, Any]:
    columns = (*nsl_kdd.FEATURES, "label", "difficulty")
    rows = kdd_rows(["normal", "neptune", "normal", "satan"])
    write_csv(folder / "KDDTrain+.txt", rows, columns, header=False)
    rows = kdd_rows(["normal", "mscan"], seed=1)
    write_csv(folder / "KDDTest+.txt", rows, columns, header=False)
    return {}


def kdd(folder: Path) -> dict[str, Any]:
    rows = kdd_rows(["normal.", "smurf.", "back."])
    path = write_csv(folder / "plain", rows, (*nsl_kdd.FEATURES, "label"), header=False)
    (folder / "kddcup.data_10_percent.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return {}


def unsw_rows(seed: int) -> list[Row]:
    names = [name for view in unsw_nb15.VIEWS.values() for name in view.split()]
    numeric = [name for name in names if name not in unsw_nb15.CATEGORICAL]
    rows = rows_of(numeric, ["0", "1", "0"], seed=seed)
    for i, row in enumerate(rows):
        row |= {"id": str(i), "proto": ("tcp", "udp")[i % 2], "service": "-", "state": "FIN"}
        row["attack_cat"] = "Normal" if row["label"] == "0" else ("DoS", "Worms")[i % 2]
    return rows


UNSW_COLUMNS = (
    "id",
    *(name for view in unsw_nb15.VIEWS.values() for name in view.split()),
    "attack_cat",
    "label",
)


def unsw(folder: Path) -> dict[str, Any]:
    write_csv(folder / unsw_nb15.TRAINING, unsw_rows(0), UNSW_COLUMNS)
    write_csv(folder / unsw_nb15.TESTING, unsw_rows(1), UNSW_COLUMNS)
    return {}


def unsw_raw_rows(seed: int = 0) -> list[Row]:
    skip = ("srcip", "sport", "dstip", "dsport", "attack_cat", "label", *unsw_nb15.CATEGORICAL)
    numeric = [name for name in unsw_nb15_raw.COLUMNS if name not in skip]
    rows = rows_of(numeric, ["0", "0", "1"], seed=seed)
    for i, row in enumerate(rows):
        row |= {"proto": "tcp", "service": ("dns", "-")[i % 2], "state": "CON"}
        row |= {"srcip": f"59.166.0.{i % 7}", "sport": "0x1", "dstip": "1.1.1.1", "dsport": "-"}
        row |= {"stime": str(1421927414 + i), "ct_ftp_cmd": " ", "is_ftp_login": ""}
        row["attack_cat"] = "" if row["label"] == "0" else (" Fuzzers ", "Backdoors")[i % 2]
    for row in rows[-40:]:  # the fields of the protocol are there in a few rows
        row |= {"ct_ftp_cmd": row["dur"], "is_ftp_login": "1"}
    return rows


def unsw_raw(folder: Path) -> dict[str, Any]:
    rows = unsw_raw_rows()
    write_csv(folder / "UNSW-NB15_1.csv", rows[:100], unsw_nb15_raw.COLUMNS, header=False)
    write_csv(folder / "UNSW-NB15_2.csv", rows[100:], unsw_nb15_raw.COLUMNS, header=False)
    return {}


CIC_LABELS = ("BENIGN", "Bot", "BENIGN", "Web Attack \x96 XSS")


def cic_rows(seed: int = 0) -> list[Row]:
    rows = rows_of(cic_ids2017.FEATURES, CIC_LABELS, seed=seed)
    for i, row in enumerate(rows):
        row["Label"] = row.pop("label")
        row["Flow Bytes/s"] = ("Infinity", "NaN", "1.5", "")[i % 4] if i < 20 else str(i)
        row |= {"Destination Port": "80", "Fwd Header Length.1": row["Fwd Header Length"]}
        row |= {"Source IP": f"10.0.0.{i % 5}", "Destination IP": "10.0.0.9", "Flow ID": str(i)}
        hour = (11 + i // 60) % 12 or 12  # 11, 12, 1, 2: the afternoon has no PM
        row["Timestamp"] = f"03/07/2017 {hour}:{i % 60:02d}:00"
    return rows


CIC_COLUMNS = ("Destination Port", *cic_ids2017.FEATURES, "Label")


def cic(folder: Path) -> dict[str, Any]:
    path = write_csv(folder / "Monday.csv", cic_rows(), CIC_COLUMNS)
    header, *lines = path.read_text().splitlines()
    header = ",".join(" " + name for name in header.split(","))
    lines[100:100] = [header, "," * header.count(",")]
    path.write_bytes("\n".join([header, *lines]).encode("latin-1") + b"\n")
    return {}


def cic_flows(folder: Path) -> dict[str, Any]:
    columns = ("Flow ID", "Source IP", "Destination IP", "Timestamp", *CIC_COLUMNS)
    path = write_csv(folder / "Thursday.csv", cic_rows(), columns)
    path.write_bytes(path.read_text().encode("latin-1"))
    return {}


CTU_COLUMNS = (
    "StartTime", "Dur", "Proto", "SrcAddr", "Sport", "Dir", "DstAddr", "Dport", "State", "sTos",
    "dTos", "TotPkts", "TotBytes", "SrcBytes", "Label",
)  # fmt: skip
CTU_LABELS = (
    "flow=Background-UDP-Established",
    "flow=From-Botnet-V42-TCP-CC6-Plain",
    "flow=From-Normal-V42-Jist",
    "flow=To-Botnet-V42-UDP",
    "flow=Background",
)


def ctu_rows(seed: int = 0) -> list[Row]:
    numeric = [name for v in ctu_13.VIEWS.values() for name in v if name not in ctu_13.CATEGORICAL]
    rows = rows_of(numeric, CTU_LABELS, seed=seed)
    for i, row in enumerate(rows):
        row["Label"] = row.pop("label")
        row |= {"StartTime": f"2011/08/10 09:{i // 60:02d}:{i % 60:02d}.047277", "sTos": ""}
        row |= {"Proto": ("tcp", "udp")[i % 2], "Dir": "  <->", "State": ("CON", "S_RA")[i % 2]}
        row |= {"SrcAddr": f"147.32.84.{i % 9}", "Sport": "1", "DstAddr": "8.8.8.8", "Dport": "53"}
    return rows


def ctu(folder: Path) -> dict[str, Any]:
    write_csv(folder / "capture20110810.binetflow", ctu_rows(), CTU_COLUMNS)
    return {}


ZEEK_COLUMNS = (
    "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service",
    "duration", "orig_bytes", "resp_bytes", "conn_state", "local_orig", "missed_bytes", "orig_pkts",
    "orig_ip_bytes", "resp_pkts", "resp_ip_bytes", "tunnel_parents", "label", "detailed-label",
)  # fmt: skip


def zeek_rows(seed: int = 0) -> list[Row]:
    numeric = [name for v in zeek_log.VIEWS.values() for name in v]
    numeric = [name for name in numeric if name not in zeek_log.CATEGORICAL]
    labels = ["Benign", "Malicious", "Benign", "Background"]
    rows = rows_of(numeric, labels, seed=seed)
    for i, row in enumerate(rows):
        row |= {"ts": f"{1545403816 + i}.9", "uid": f"C{i}", "id.orig_h": f"192.168.1.{i % 6}"}
        row |= {"id.orig_p": "1", "id.resp_h": "8.8.8.8", "id.resp_p": "53", "local_orig": "-"}
        row |= {"proto": ("tcp", "udp")[i % 2], "service": ("-", "dns", "http")[i % 3]}
        row |= {"conn_state": ("S0", "SF")[i % 2], "tunnel_parents": "(empty)"}
        row["detailed-label"] = ("DDoS", "C&C")[i // 4 % 2] if i % 4 == 1 else "-"
    return rows


def zeek_text(rows: list[Row], columns: Sequence[str], joined: str = "\t") -> str:
    """A log; ``joined`` stands between the last three columns."""

    def line(values: Sequence[str]) -> str:
        return "\t".join([*values[:-3], joined.join(values[-3:])])

    kinds = line(["string"] * len(columns))
    head = ["#separator \\x09", "#unset_field\t-", "#path\tconn", f"#fields\t{line(columns)}"]
    body = [line([row[name] for name in columns]) for row in rows]
    return "\n".join([*head, f"#types\t{kinds}", *body]) + "\n"


def zeek(folder: Path) -> dict[str, Any]:
    (folder / "a.conn.log.labeled").write_text(zeek_text(zeek_rows(), ZEEK_COLUMNS))
    return {}


CUSTOM_COLUMNS = ("bytes", "packets", "rate", "proto", "host", "when", "kind", "is_attack")


def custom_rows(seed: int = 0) -> list[Row]:
    rows = rows_of(CUSTOM_COLUMNS[:3], ["0", "1", "0"], seed=seed)
    for i, row in enumerate(rows):
        row["is_attack"] = row.pop("label")
        row |= {"proto": ("tcp", "udp", "icmp")[i % 3], "host": f"h{i % 4}", "when": str(1000 - i)}
        row["kind"] = "none" if row["is_attack"] == "0" else ("scan", "flood")[i % 2]
    return rows


CUSTOM_OPTIONS: dict[str, Any] = {
    "label": "is_attack",
    "family": "kind",
    "entity": "host",
    "time": "when",
}


def custom(folder: Path) -> dict[str, Any]:
    path = write_csv(folder / "flows.csv", custom_rows(), CUSTOM_COLUMNS)
    return {"path": str(path), **CUSTOM_OPTIONS}


def nothing(folder: Path) -> dict[str, Any]:
    return {"rows": 2_000}


#: Data set to what writes its files into a folder and returns the options to load them with.
SAMPLES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "synthetic": nothing,
    "nsl-kdd": nsl,
    "unsw-nb15": unsw,
    "unsw-nb15-raw": unsw_raw,
    "cic-ids2017": cic,
    "kdd99": kdd,
    "ctu-13": ctu,
    "zeek": zeek,
    "custom": custom,
}
