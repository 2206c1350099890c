"""Prepare and open a table that is larger than memory.

    python -m benchmarks.speed.data_scale --rows 16000000 --columns 80 --folder /somewhere/with/30GB

A file of that size is generated, prepared into a cache of its own, and opened by a fresh process;
all of it is removed afterwards. Memory is the peak resident set of that process.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from marl_stl_env.files import write_text

_BLOCK = 250_000
_FAMILIES = ("benign", "scan", "flood", "theft")
_PROTOCOLS = ("tcp", "udp", "icmp")


@dataclass(frozen=True)
class ScaleConfig:
    """What to measure.

    Attributes:
        rows: Events.
        columns: Feature columns, one of them text.
        format: Kind of the generated file.
        folder: Where files and cache go; None takes the system's temporary folder.
        out: JSON file for the figures.
    """

    rows: int = 1_000_000
    columns: int = 80
    format: Literal["csv", "parquet"] = "csv"
    folder: Path | None = None
    out: Path | None = None


def main(config: ScaleConfig) -> None:
    """Generate, prepare, open, report, clean up."""
    folder = Path(tempfile.mkdtemp(prefix="data-scale-", dir=config.folder))
    try:
        path = folder / f"flows.{config.format}"
        started = time.perf_counter()
        generate(path, config)
        figures: dict[str, Any] = {**asdict(config), "generate_s": time.perf_counter() - started}
        figures["file_gb"] = path.stat().st_size / 1e9
        figures["prepare"] = work(path, folder / "cache")
        figures["open"] = work(path, folder / "cache")
        cached = sum(p.stat().st_size for p in (folder / "cache").rglob("*") if p.is_file())
        figures["cache_gb"] = cached / 1e9
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(figures)
    if config.out is not None:
        figures |= {"folder": str(config.folder), "out": str(config.out)}
        write_text(config.out, json.dumps(figures, indent=2) + "\n")


def generate(path: Path, config: ScaleConfig) -> None:
    """Write the file in blocks; 11 % threats, heavy tails, one row in a hundred repeated."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    rng = np.random.default_rng(0)
    writer: Any = None
    for start in range(0, config.rows, _BLOCK):
        block = _block(rng, min(_BLOCK, config.rows - start), config.columns, start)
        if writer is None:
            kind = csv.CSVWriter if config.format == "csv" else parquet.ParquetWriter
            writer = kind(path, block.schema)
        writer.write_table(pa.Table.from_batches([block]))
    writer.close()


def _block(rng: np.random.Generator, rows: int, columns: int, start: int) -> Any:
    import pyarrow as pa

    family = rng.choice(4, rows, p=[0.89, 0.05, 0.04, 0.02])
    arrays: dict[str, Any] = {}
    for column in range(columns - 1):
        values = rng.lognormal(0.1 * (column % 7) * (family > 0), 1.0 + column % 3, rows)
        arrays[f"x{column:03d}"] = np.round(values, 3)
    arrays["protocol"] = np.array(_PROTOCOLS)[rng.integers(0, 3, rows)]
    repeated = rows // 100
    for values in (*arrays.values(), family):
        values[rows - repeated :] = values[:repeated]
    arrays["host"] = np.char.add("10.0.0.", rng.integers(0, 250, rows).astype(str))
    arrays["time"] = start + np.arange(rows, dtype=np.float64)
    arrays["label"] = (family > 0).astype(np.int64)
    arrays["family"] = np.array(_FAMILIES)[family]
    return pa.RecordBatch.from_pydict(arrays)


def work(path: Path, cache: Path) -> dict[str, float]:
    """Prepare the file in a fresh process, or open it if it is prepared already."""
    result = subprocess.run(  # noqa: S603 - this file itself
        [sys.executable, __file__, "--work", str(path)],
        env={"MARL_STL_CACHE_DIR": str(cache), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if result.returncode:
        raise SystemExit(f"the worker failed:\n{result.stderr}")
    figures: dict[str, float] = json.loads(result.stdout)
    return figures


def worker(path: Path) -> None:
    """Prepare or open the file, read one row, and print time and memory as JSON."""
    from marl_stl_env.config import make_config
    from marl_stl_env.data import prepare

    options = {"path": str(path), "label": "label", "family": "family", "entity": "host"}
    imported = _resident()
    started = time.perf_counter()
    prepared = prepare(
        make_config(None, {"dataset": "custom", "dataset_options": {**options, "time": "time"}})
    )
    seconds = time.perf_counter() - started
    float(prepared.tables["train"].features[-1].sum())
    figures = {"seconds": seconds, "peak_mb": _resident(), "imports_mb": imported}
    print(json.dumps(figures | {"train_rows": len(prepared.tables["train"])}))


def _resident() -> float:
    """Peak resident set of this process in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike getrusage, not that of the process that started this one
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def show(figures: dict[str, Any]) -> None:
    """Print the measurements."""
    table = Table(
        title=f"{figures['rows']:,} rows x {figures['columns']} columns, {figures['format']} "
        f"({figures['file_gb']:.1f} GB; cache {figures['cache_gb']:.1f} GB)"
    )
    for name in ("step", "seconds", "peak memory (MB)", "of it imports (MB)"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for step in ("prepare", "open"):
        found = figures[step]
        table.add_row(
            step,
            f"{found['seconds']:.2f}",
            f"{found['peak_mb']:,.0f}",
            f"{found['imports_mb']:,.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        worker(Path(sys.argv[2]))
    else:
        main(tyro.cli(ScaleConfig, description=__doc__))
