"""Small hand-made tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from marl_stl_env.data import load_dataset
from marl_stl_env.data.table import TrafficTable


def make_table(features: Any, labels: Any, families: Any = None, **fields: Any) -> TrafficTable:
    features = np.asarray(features, np.float32)
    labels = np.asarray(labels, bool)
    families = labels if families is None else families
    families = np.asarray(families, np.int16)
    return TrafficTable(
        name="small",
        features=features,
        labels=labels,
        families=families,
        family_names=tuple(f"family {i}" for i in range(int(families.max()) + 1)),
        feature_names=fields.pop("feature_names", tuple(f"f{i}" for i in range(features.shape[1]))),
        views=fields.pop("views", {"all": tuple(range(features.shape[1]))}),
        **fields,
    )


def of_text(path: Path, text: str | bytes, **options: Any) -> TrafficTable:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_dataset("custom", path=path, **{"label": "y"} | options)
