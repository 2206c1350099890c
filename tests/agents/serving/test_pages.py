"""The pages of a server, on loopback."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request

import pytest
from marl_stl_agents.serving.metrics import metrics_page
from marl_stl_agents.serving.pages import pages
from marl_stl_agents.serving.status import COUNTERS, Status

from marl_stl_env.data.ingest.sources.lines import Malformed
from marl_stl_env.errors import ServingError

#: A line of the text format, version 0.0.4.
SAMPLE = re.compile(
    r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"\})? '
    r"(?:[+-]?[0-9.]+(?:e[+-]?[0-9]+)?|\+Inf|-Inf|NaN)"
)


def fetched(address: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - loopback
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def busy() -> Status:
    status = Status(most_behind=100, behind=7)
    status.counts["events"] = 41
    status.decisions["BLOCK"] = 40
    status.specifications = {'a "b"\\c': float("inf"), "posture": -0.5}
    status.add_malformed([Malformed(3, 90, "<b>too few</b>")])
    return status


def test_pages_of_a_server() -> None:
    status = busy()
    with pages(status, "127.0.0.1", 0) as address:
        code, kind, text = fetched(f"{address}/metrics")
        assert (code, kind.partition(";")[0]) == (200, "text/plain")
        assert text.startswith("# HELP marl_stl_events_total Events decided on.\n")
        code, kind, text = fetched(f"{address}/health")
        assert (code, kind) == (200, "application/json")
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as asking:  # http.client drops a body
            asking.sendall(b"HEAD /health HTTP/1.0\r\n\r\n")
            with asking.makefile("rb") as answer:
                head = answer.read()
        assert head.partition(b"\r\n")[0].endswith(b" 200 OK")
        assert head.endswith(b"\r\n\r\n")
        found = json.loads(text)
        assert (found["status"], found["events"], found["bytes_behind"]) == ("ok", 41, 7)
        assert found["latest_malformed_lines"] == [
            {"line": 3, "offset": 90, "problem": "<b>too few</b>"}
        ]
        code, kind, text = fetched(f"{address}/")
        assert (code, kind.partition(";")[0]) == (200, "text/html")
        assert "&lt;b&gt;too few" in text
        assert fetched(f"{address}/other")[0] == 404
        status.full = "no space"
        assert fetched(f"{address}/health")[0] == 503
        with pytest.raises(ServingError, match="choose another --port"):
            pages(status, "127.0.0.1", int(address.rpartition(":")[2])).__enter__()
    with pytest.raises(urllib.error.URLError):
        fetched(address)


def test_metrics_are_what_prometheus_reads() -> None:
    lines = metrics_page(busy()).splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert all(SAMPLE.fullmatch(line) for line in samples)
    assert "marl_stl_events_total 41" in samples
    assert 'marl_stl_decisions_total{decision="BLOCK"} 40' in samples
    assert r'marl_stl_specification_robustness{specification="a \"b\"\\c"} +Inf' in samples
    assert 'marl_stl_specification_robustness{specification="posture"} -0.5' in samples
    assert {f"marl_stl_{name}_total" for name in COUNTERS} <= {s.split()[0] for s in samples}
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {re.split(r"[ {]", sample)[0] for sample in samples} <= typed
