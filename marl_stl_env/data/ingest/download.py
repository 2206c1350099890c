"""Downloads of data sets from their publishers, with verified checksums."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from marl_stl_env.data.info import Dataset, Download
from marl_stl_env.data.ingest.locate import DATA_DIR_VARIABLE, download_dir
from marl_stl_env.errors import ChecksumError, DownloadError
from marl_stl_env.files import atomic_path

_TIMEOUT = 60  # seconds without an answer


def fetch(dataset: Dataset) -> Path:
    """Download a data set into the cache, with a progress bar; existing files stay.

    Args:
        dataset: The data set.

    Returns:
        The folder with the files.

    Raises:
        DownloadError: If no address answers, or the data set cannot be downloaded at all.
        ChecksumError: If a file differs from the published one; it is not stored then.
    """
    folder = download_dir() / dataset.folder
    if not dataset.homepage:
        raise DownloadError(f"{dataset.name} has no publisher: there is nothing to download")
    if not dataset.downloads:
        raise DownloadError(
            f"{dataset.name} cannot be downloaded without a visit to its publisher. "
            f"{_by_hand(dataset, folder)}"
        )
    with tempfile.TemporaryDirectory() as scratch:
        for download in dataset.downloads:
            if not (folder / download.name).exists():
                _fetch_one(dataset, download, folder, Path(scratch))
    return folder


def _fetch_one(dataset: Dataset, download: Download, folder: Path, scratch: Path) -> None:
    failures: list[Exception] = []
    for url in download.urls:
        try:
            _from(url, download, folder, scratch)
        except DownloadError as error:
            failures.append(error)
        else:
            return
    wrong = [error for error in failures if isinstance(error, ChecksumError)]
    reasons = "; ".join(map(str, failures))
    kind = ChecksumError if wrong else DownloadError
    raise kind(f"{download.name} was not fetched: {reasons}. {_by_hand(dataset, folder)}")


def _from(url: str, download: Download, folder: Path, scratch: Path) -> None:
    """Fetch one file from one address."""
    import pooch

    known = f"sha256:{download.sha256}"
    if download.member is not None:
        archive = _retrieve(url, None, "archive.zip", scratch, None)
        member = _extract(url, archive, download.member, scratch)
        digest = pooch.file_hash(str(member), alg="sha256")
        if digest != download.sha256:
            raise ChecksumError(
                f"{download.member} from {url} has sha256 {digest} instead of {download.sha256}"
            )
        with atomic_path(folder / download.name) as draft:
            draft.write_bytes(member.read_bytes())
    elif download.name.endswith(".zip"):
        unzip = pooch.Unzip(extract_dir=download.name.removesuffix(".zip"))
        _retrieve(url, known, download.name, folder, unzip)
    else:
        _retrieve(url, known, download.name, folder, None)


def _retrieve(
    url: str,
    known: str | None,
    name: str,
    folder: Path,
    processor: Callable[..., Any] | None,
) -> Path:
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    answers: list[requests.Response] = []
    downloader = pooch.HTTPDownloader(
        timeout=_TIMEOUT,
        progressbar=True,
        hooks={"response": lambda answer, **_: answers.append(answer)},
    )
    try:
        pooch.retrieve(url, known, name, folder, processor, downloader)
    except (requests.RequestException, OSError, zipfile.BadZipFile) as error:
        raise DownloadError(f"{url} failed ({type(error).__name__}: {error})") from None
    except ValueError as error:  # pooch's error for a wrong checksum
        raise ChecksumError(f"{url}: {error}") from None
    finally:  # pooch leaves the sockets of failed downloads open
        for answer in answers:
            answer.close()
    return folder / name


def _extract(url: str, archive: Path, member: str, folder: Path) -> Path:
    """Extract the member with this name, in any folder of the archive."""
    try:
        with zipfile.ZipFile(archive) as content:
            found = [name for name in content.namelist() if Path(name).name == member]
            if not found:
                raise DownloadError(f"the archive at {url} holds no {member}")
            return Path(content.extract(found[0], folder))
    except zipfile.BadZipFile:
        raise DownloadError(f"what {url} sent is no zip archive") from None


def _by_hand(dataset: Dataset, folder: Path) -> str:
    return (
        f"Get it by hand from {dataset.homepage} and put the files into {folder}, or into a folder "
        f"that --data-dir (data_dir=... in Python) or {DATA_DIR_VARIABLE} names"
    )
