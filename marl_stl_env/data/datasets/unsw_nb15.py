"""UNSW-NB15, the published training and testing files.

Moustafa and Slay (2015). Public copies often carry each other's names, so the two files are told
apart by their number of rows. They are sorted in label blocks: rows are shuffled with a fixed
seed. With one file alone there is no official test set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from marl_stl_env.data.info import Dataset, Download
from marl_stl_env.data.ingest.batch import Batch
from marl_stl_env.data.ingest.build import MAX_FAMILIES, Format, Layout, Target, build_table
from marl_stl_env.data.ingest.cache import file_digest
from marl_stl_env.data.ingest.coder import Coder
from marl_stl_env.data.ingest.locate import find_file, missing_file
from marl_stl_env.data.ingest.readers.csv_rows import Dialect
from marl_stl_env.data.table import TrafficTable
from marl_stl_env.errors import LabelError

TRAINING, TESTING = "UNSW_NB15_training-set.csv", "UNSW_NB15_testing-set.csv"
TRAINING_ROWS, TESTING_ROWS = 175_341, 82_332
CATEGORICAL = ("proto", "service", "state")
CITATION = (
    "Moustafa, Slay (2015), UNSW-NB15: a comprehensive data set for network intrusion detection "
    "systems, MilCIS"
)
LICENCE = "free for academic research, with citation; commercial use by agreement with the authors"
_COPIES = (  # of the publisher's bytes: his own folder gives files to people only
    "https://huggingface.co/datasets/Mouwiya/UNSW-NB15-small/resolve/"
    "6f5f54594dfc80c84264aec4c7cc3d9b162f1e2f/"
)
_DIGESTS = {
    TRAINING: "bec7dd5ec88dc2a0ccc7a07879d338395ed7421750f675fd0339e07dfe0648fa",
    TESTING: "734fe6642edf758f7c94d7d9149426b49d202fe8e7bf0bef47392489c3c0a559",
}
HOMEPAGE = "https://research.unsw.edu.au/projects/unsw-nb15-dataset"
DATASET = Dataset(
    name="unsw-nb15",
    summary="257,673 flows of a test bed (175,341 to train, 82,332 to test), 9 attack families",
    licence=LICENCE,
    citation=CITATION,
    homepage=HOMEPAGE,
    folder="unsw_nb15",
    downloads=tuple(Download((_COPIES + name,), name, digest) for name, digest in _DIGESTS.items()),
    dropped=(
        "id: the number of the row, and the files are sorted by label",
        "attack_cat: the label itself; it becomes the family",
    ),
    defects=(
        "public copies often swap the names of the two files; they are distinguished by their rows",
        "34 % of the testing file repeats another row's features; use --drop-duplicates to see "
        "what is left (36.6 % attacks instead of 55.1 %)",
        "sorted in label blocks, so the order means nothing; rows are shuffled with seed 0",
        "sttl and ct_state_ttl are near-labels: attacks and normal traffic came from machines "
        "with different initial time-to-live",
        "is_ftp_login takes the values 2 and 4 although it is described as binary",
    ),
)
VIEWS = {
    "flow": "dur proto service state spkts dpkts sbytes dbytes rate sttl dttl sload dload sloss "
    "dloss",
    "content": "swin stcpb dtcpb dwin smean dmean trans_depth response_body_len",
    "time": "sinpkt dinpkt sjit djit tcprtt synack ackdat",
    "counters": "ct_srv_src ct_state_ttl ct_dst_ltm ct_src_dport_ltm ct_dst_sport_ltm "
    "ct_dst_src_ltm is_ftp_login ct_ftp_cmd ct_flw_http_mthd ct_src_ltm ct_srv_dst "
    "is_sm_ips_ports",
}
NORMAL = "Normal"


def files(data_dir: Path | str | None = None) -> tuple[Path, ...]:
    """The training file, then the testing file, or the one of them that is there.

    Raises:
        DataFileNotFoundError: If neither is there.
    """
    found = [find_file(DATASET, [name], data_dir) for name in (TRAINING, TESTING)]
    paths = tuple(path for path in found if path is not None)
    if not paths:
        raise missing_file(DATASET, f"{TRAINING} or {TESTING}", data_dir)
    return paths


def load(
    paths: Sequence[Path], folder: Path | None = None, dialect: Dialect | None = None
) -> TrafficTable:
    """Read one or both files into a raw table.

    Raises:
        DataFormatError: If a file is not what it should be, with file, row and column.
    """
    form = written(dialect)
    views = {view: names.split() for view, names in VIEWS.items()}
    return build_table(
        DATASET.name,
        [form.open(path) for path in paths],
        Layout(form, views, CATEGORICAL),
        folder=folder,
        shuffle=True,
        official=[is_test(path) for path in paths] if len(paths) == 2 else None,
        digests={path.name: file_digest(path) for path in paths},
    )


def written(dialect: Dialect | None = None) -> Format:
    """How the files are written."""
    families = Coder(family_name, limit=MAX_FAMILIES, kind=LabelError)
    families.add(NORMAL)
    return Format(
        families,
        labels=("attack_cat", "label"),
        target=lambda batch: target(batch, families, "attack_cat", "label"),
        rename=lower,
        dialect=dialect,
    )


def lower(names: list[str]) -> list[str]:
    """Names of columns in lower case and without spaces (the publisher writes "ct_src_ ltm")."""
    return ["".join(name.split()).lower() for name in names]


def is_test(path: Path) -> bool:
    """Whether a file is the testing file: by its rows, and by its name where that fails."""
    with path.open("rb") as handle:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: handle.read(1 << 20), b""))
    for rows, test in ((TRAINING_ROWS, False), (TESTING_ROWS, True)):
        if rows <= lines <= rows + 1:  # the header, and a last line with or without its end
            return test
    return path.name == TESTING


def family_name(text: str) -> str:
    """The family of an ``attack_cat`` field: raw files leave benign rows empty and pad names."""
    name = text.strip()
    return {"": NORMAL, "Backdoors": "Backdoor"}.get(name, name)


def target(batch: Batch, families: Coder, family: str, label: str) -> Target:
    """Family and label, which must agree.

    Raises:
        LabelError: If the label is neither 0 nor 1, or contradicts the family.
    """
    zero, one = batch.equals(label, "0"), batch.equals(label, "1")
    if not (zero | one).all():
        at = int((~(zero | one)).argmax())
        raise batch.error(f"{batch.shown(label, at)} is neither 0 nor 1", at, label, LabelError)
    codes = families.codes(batch, family)
    clash = (codes == families.add(NORMAL)) == one
    if clash.any():
        at = int(clash.argmax())
        raise batch.error(
            f"label {int(one[at])} contradicts the family {families.names[codes[at]]!r}",
            at, label, LabelError,
        )  # fmt: skip
    return codes, one
