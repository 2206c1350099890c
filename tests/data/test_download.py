"""Downloads against a server on the loopback interface."""

from __future__ import annotations

import gc
import hashlib
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from marl_stl_env.data import dataset_info, load_dataset
from marl_stl_env.data.datasets import kdd99
from marl_stl_env.data.info import Dataset, Download
from marl_stl_env.data.ingest.download import fetch
from marl_stl_env.data.ingest.locate import download_dir
from marl_stl_env.errors import ChecksumError, DataFileNotFoundError, DownloadError

from .samples import SAMPLES


@pytest.fixture(autouse=True)
def no_socket_is_left() -> Iterator[None]:
    """A socket that nobody closed would fail this test, not whichever runs when it is collected."""
    yield
    gc.collect()


@dataclass
class Server:
    """What a server has to give, and what it was asked for."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add(self, name: str, content: bytes) -> str:
        self.files[f"/{name}"] = content
        return f"{self.address}/{name}"


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.asked.append(self.path)
            content = known.files.get(self.path)
            self.send_response(404 if content is None else 200)
            length = len(content or b"") + (1000 if "short" in self.path else 0)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        known = Server(f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield known
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARL_STL_CACHE_DIR", str(tmp_path / "cache"))


def dataset(*downloads: Download) -> Dataset:
    info = Dataset("small", "a test", "none", "none", "https://example.org/small", "small")
    return replace(info, downloads=downloads)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def get(info: Dataset) -> Path:
    return fetch(info)


def left_over() -> list[Path]:
    return [path for path in download_dir().rglob("*") if path.is_file()]


def archive(folder: Path, **members: bytes) -> bytes:
    path = folder / "made.zip"
    with zipfile.ZipFile(path, "w") as content:
        for name, data in members.items():
            content.writestr(f"inner/{name}.csv", data)
    return path.read_bytes()


def test_a_file(server: Server) -> None:
    url = server.add("flows.gz", b"content")
    info = dataset(Download((url,), "flows.gz", sha256(b"content")))
    assert (get(info) / "flows.gz").read_bytes() == b"content"
    assert get(info) == download_dir() / "small"
    assert server.asked == ["/flows.gz"]  # what is there is not fetched again


def test_the_next_address_is_tried(server: Server) -> None:
    url = server.add("mirror", b"content")
    gone = f"{server.address}/gone"
    info = dataset(Download((gone, url), "flows", sha256(b"content")))
    assert (get(info) / "flows").read_bytes() == b"content"
    assert server.asked == ["/gone", "/mirror"]


def test_a_member_of_an_archive(server: Server, tmp_path: Path) -> None:
    url = server.add("all.zip", archive(tmp_path, wanted=b"rows", other=b"more"))
    info = dataset(Download((url,), "wanted.csv", sha256(b"rows"), member="wanted.csv"))
    assert (get(info) / "wanted.csv").read_bytes() == b"rows"
    assert [path.name for path in left_over()] == ["wanted.csv"]


def test_a_whole_archive(server: Server, tmp_path: Path) -> None:
    content = archive(tmp_path, a=b"1", b=b"2")
    url = server.add("all.zip", content)
    folder = get(dataset(Download((url,), "all.zip", sha256(content))))
    assert sorted(path.name for path in folder.rglob("*.csv")) == ["a.csv", "b.csv"]


@pytest.mark.parametrize("member", [None, "wanted.csv"])
def test_wrong_checksum(server: Server, tmp_path: Path, member: str | None) -> None:
    url = server.add("file.zip", archive(tmp_path, wanted=b"forged"))
    info = dataset(Download((url,), "wanted.csv", sha256(b"rows"), member=member))
    with pytest.raises(ChecksumError, match=r"by hand from https://example\.org/small") as caught:
        get(info)
    assert url in str(caught.value)
    assert left_over() == []


@pytest.mark.parametrize(
    ("name", "content", "member", "problem"),
    [
        ("gone", None, None, "404"),
        ("short", b"half", None, "IncompleteRead|ChecksumError|Connection|failed"),
        ("page.zip", b"<html>log in</html>", "wanted.csv", "no zip archive"),
        ("other.zip", "archive", "wanted.csv", "holds no wanted.csv"),
    ],
)
def test_what_a_server_may_do(
    server: Server, tmp_path: Path, name: str, content: Any, member: str | None, problem: str
) -> None:
    if content is not None:
        server.add(name, archive(tmp_path, x=b"1") if content == "archive" else content)
    info = dataset(Download((f"{server.address}/{name}",), "wanted.csv", sha256(b""), member))
    with pytest.raises(DownloadError, match=problem) as caught:
        get(info)
    assert "by hand from https://example.org/small" in str(caught.value)
    assert left_over() == []


def test_no_server() -> None:
    info = dataset(Download(("http://127.0.0.1:9/x",), "x", sha256(b"")))
    with pytest.raises(DownloadError, match="by hand"):
        get(info)


def test_from_the_address_to_the_table(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SAMPLES["kdd99"](tmp_path)
    name = "kddcup.data_10_percent.gz"
    content = (tmp_path / name).read_bytes()
    url = server.add(name, content)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "none"))
    published = replace(kdd99.DATASET, downloads=(Download((url,), name, sha256(content)),))
    monkeypatch.setattr(kdd99, "DATASET", published)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataFileNotFoundError, match="fetch it with `marl-stl-data download"):
        load_dataset("kdd99", data_dir=empty)
    assert len(load_dataset("kdd99", data_dir=empty, download=True)) == 240
    assert len(load_dataset("kdd99", data_dir=empty)) == 240


def test_published_addresses_are_complete() -> None:
    for name in ("nsl-kdd", "kdd99", "cic-ids2017"):
        for download in dataset_info(name).downloads:
            assert len(download.sha256) == 64
            assert all(url.startswith("http") for url in download.urls)
