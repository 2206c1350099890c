"""A few flows as each sensor writes them; every format tells of the same three."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: The flows as columns of the schema "flow"; NaN and None where a format has no value.
TIMES = [1700000000.5, 1700000010.25, 1700000020.0]

ZEEK_FIELDS = [
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "service",
    "duration",
    "orig_bytes",
    "resp_bytes",
    "conn_state",
    "missed_bytes",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
]
ZEEK_ROWS: list[list[Any]] = [
    [1700000000.5, "C1", "10.0.0.1", 4000, "10.0.0.2", 80, "tcp", "http", 1.5, 100, 900, "SF", 0,
     6, 420, 5, 1180],
    [1700000010.25, "C2", "10.0.0.3", 5353, "10.0.0.2", 53, "udp", "dns", 0.25, 40, 80, "SF", 0,
     1, 68, 1, 108],
    [1700000020.0, "C3", "10.0.0.1", 4001, "10.0.0.2", 22, "tcp", None, None, None, None, "S0", 0,
     1, 60, 0, 0],
]  # fmt: skip


def zeek_text(labels: bool = False, joined: bool = False) -> str:
    """Tab-separated, with the header that Zeek writes, and perhaps labels as IoT-23 joins them."""
    gap = "   " if joined else "\t"
    names = "\t".join(ZEEK_FIELDS) + (f"{gap}label{gap}detailed-label" if labels else "")
    lines = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-",
             "#path\tconn", f"#fields\t{names}", "#types\ttime"]  # fmt: skip
    for number, row in enumerate(ZEEK_ROWS):
        told = ("Malicious", "C&C") if number == 1 else ("Benign", "-")
        fields = ["-" if value is None else str(value) for value in row]
        lines.append("\t".join(fields) + (gap + gap.join(told) if labels else ""))
    return "\n".join([*lines, "#close\t2023-11-14-22-14-00"]) + "\n"


def zeek_json() -> str:
    """JSON lines; unset fields are left out, times may be ISO 8601."""
    records = [
        {name: value for name, value in zip(ZEEK_FIELDS, row, strict=True) if value is not None}
        for row in ZEEK_ROWS
    ]
    records[0]["ts"] = "2023-11-14T22:13:20.500000Z"
    return "".join(json.dumps(record) + "\n" for record in records)


def suricata_json() -> str:
    """Flow records among others, as eve.json has them."""

    def flow(start: str, end: str, source: str, port: int, **more: Any) -> dict[str, Any]:
        counts = more.pop("counts")
        names = ("pkts_toserver", "pkts_toclient", "bytes_toserver", "bytes_toclient")
        about = {"start": start, "end": end, "age": 1, "state": "closed", "alerted": False}
        return {
            "timestamp": "2023-11-14T22:14:00.000001+0000", "flow_id": 1, "event_type": "flow",
            "src_ip": source, "src_port": 4000, "dest_ip": "10.0.0.2", "dest_port": port, **more,
            "flow": dict(zip(names, counts, strict=True)) | about,
        }  # fmt: skip

    records = [
        {"timestamp": "2023-11-14T22:13:20.400000+0000", "event_type": "alert"},
        flow("2023-11-14T23:13:20.500000+0100", "2023-11-14T22:13:22.000000+0000", "10.0.0.1", 80,
             proto="TCP", app_proto="http", counts=(6, 5, 504, 1250)),
        flow("2023-11-14T22:13:30.250000+0000", "2023-11-14T22:13:30.500000+0000", "10.0.0.3", 53,
             proto="UDP", app_proto="dns", counts=(1, 1, 82, 122)),
        {"timestamp": "2023-11-14T22:13:31.000000+0000", "event_type": "stats", "stats": {"up": 1}},
        flow("2023-11-14T22:13:40.000000+0000", "2023-11-14T22:13:40.000000+0000", "10.0.0.1", 22,
             proto="TCP", app_proto="failed", counts=(1, 0, 74, 0)),
    ]  # fmt: skip
    return "".join(json.dumps(record) + "\n" for record in records)


def nfdump_csv() -> str:
    """``-o csv`` of nfdump 1.7: numbers may have spaces before them, a summary stands below."""
    rows = [
        "2023-11-14 22:13:20.500,2023-11-14 22:13:22.000,     1.500,10.0.0.1,10.0.0.2,4000,80,TCP,"
        "...AP.SF,0,0,6,420,5,1180",
        "2023-11-14 22:13:30.250,2023-11-14 22:13:30.500,0.250,10.0.0.3,10.0.0.2,5353,53,UDP,"
        "........,0,0,1,68,1,108",
        "2023-11-14 22:13:40.000,2023-11-14 22:13:40.000,0.000,10.0.0.1,10.0.0.2,4001,22,TCP,"
        "......S.,0,0,1,60,0,0",
    ]
    head = "ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt"
    foot = ["Summary", "flows,bytes,packets,avg_bps,avg_pps,avg_bpp", "3,1836,14,700,1,131"]
    return "\n".join([head, *rows, *foot]) + "\n"


def nfdump_json(first: str = "first", last: str = "last") -> str:
    """``-o json`` of nfdump 1.7: an array of objects, a line a field; it ends with ``}]``."""
    shared = {"type": "FLOW", "dst4_addr": "10.0.0.2"}
    records = [
        {first: "2023-11-14T22:13:20.500", last: "2023-11-14T22:13:22.000", "in_packets": 6,
         "in_bytes": 420, "out_packets": 5, "out_bytes": 1180, "proto": 6, "src_port": 4000,
         "dst_port": 80, "src4_addr": "10.0.0.1"},
        {first: "2023-11-14T22:13:30.250", last: "2023-11-14T22:13:30.500", "in_packets": 1,
         "in_bytes": 68, "out_packets": 1, "out_bytes": 108, "proto": 17, "src_port": 5353,
         "dst_port": 53, "src4_addr": "10.0.0.3"},
        {first: "2023-11-14T22:13:40.000", last: "2023-11-14T22:13:40.000", "in_packets": 1,
         "in_bytes": 60, "proto": 6, "src_port": 4001, "dst_port": 22, "src4_addr": "10.0.0.1"},
    ]  # fmt: skip
    texts = []
    for record in records:
        fields = [f'\t"{name}" : {json.dumps(value)}' for name, value in (shared | record).items()]
        texts.append("{\n" + ",\n".join(fields) + "\n}")
    return "[\n" + ",\n".join(texts) + "]\n"


def argus_csv() -> str:
    """``ra -c ,`` with the fields of CTU-13."""
    return (
        "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,"
        "SrcBytes,Label\n"
        "2023/11/14 22:13:20.500000,1.500000,tcp,10.0.0.1,4000,   ->,10.0.0.2,80,FSPA_FSPA,0,0,11,"
        "1754,504,flow=Background\n"
        "2023/11/14 22:13:30.250000,0.250000,udp,10.0.0.3,5353,  <->,10.0.0.2,53,CON,0,0,2,204,82,"
        "flow=From-Botnet-V42-UDP-DNS\n"
        "2023/11/14 22:13:40.000000,0.000000,tcp,10.0.0.1,4001,   ->,10.0.0.2,22,S_,0,,1,74,74,"
        "flow=Background\n"
    )


#: Source, format, text, and the columns that it cannot give.
FORMATS: dict[str, tuple[str, str, set[str]]] = {
    "zeek": ("zeek", zeek_text(), set()),
    "zeek-json": ("zeek", zeek_json(), set()),
    "suricata": ("suricata", suricata_json(), set()),
    "nfdump-csv": ("nfdump", nfdump_csv(), {"service"}),
    "nfdump-json": ("nfdump", nfdump_json(), {"service"}),
    "nfdump-json-old": ("nfdump", nfdump_json("t_first", "t_last"), {"service"}),
    "argus": ("argus", argus_csv(), {"service", "src_packets", "dst_packets"}),
}


def write(folder: Path, name: str, text: str) -> Path:
    """The text as a file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
