"""What the data needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from marl_stl_env.config.shown import ShowsChanges
from marl_stl_env.config.texts import absolute_path, as_settings
from marl_stl_env.errors import ConfigError
from marl_stl_env.validation import check_range, check_types

Split = Literal["train", "validation", "test"]
SplitMethod = Literal["auto", "stratified", "official", "temporal"]
Balance = Literal["none", "families"]


@dataclass(frozen=True, repr=False)
class DataConfig(ShowsChanges):
    """A data set, how it is split, and what training replays of it.

    Attributes:
        dataset: A name from ``marl_stl_env.datasets()``.
        data_dir: Folder with the data files; None takes ``$MARL_STL_DATA_DIR``.
        dataset_options: Options of the data set, each a text ``name=value``, such as
            ``path=flows.csv``; the value is JSON where it can be.
        download: Fetch the data from its publisher where it is missing.
        split_method: "official" is the publisher's test set; "stratified" draws 70/15/15 by
            attack family; "temporal" cuts in time order with a gap; "auto" is official where
            there is one and stratified elsewhere.
        split_seed: Seed of the split, of balancing, of synthetic outliers and of random views.
        holdout_families: Attack families whose training rows go to validation, as the unseen
            attacks of a real test set would.
        drop_duplicates: Keep one event of all that have the same features.
        threat_rate: Share of threats to resample every split to, in (0, 1); None leaves it.
        balance: "families" lets training replay every attack family equally often, at the same
            threat rate; "none" replays the training split as it is.
        synthetic_outliers: Synthetic outliers for every training event: threats whose columns
            are each drawn from another training event. They teach to stop the unknown.
    """

    dataset: str = "synthetic"
    data_dir: Path | None = None
    dataset_options: tuple[str, ...] = ()
    download: bool = False
    split_method: SplitMethod = "auto"
    split_seed: int = 0
    holdout_families: tuple[str, ...] = ()
    drop_duplicates: bool = False
    threat_rate: float | None = None
    balance: Balance = "none"
    synthetic_outliers: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.data_dir, str | Path):
            object.__setattr__(self, "data_dir", Path(self.data_dir).expanduser().absolute())
        if isinstance(self.dataset_options, Mapping):
            options = as_settings("dataset_options", self.dataset_options)
            object.__setattr__(self, "dataset_options", options)
        check_types(self)
        object.__setattr__(self, "dataset_options", tuple(map(absolute_path, self.dataset_options)))
        check_range("split_seed", self.split_seed, 0, 2**32 - 1)
        if self.threat_rate is not None and not 0.0 < self.threat_rate < 1.0:
            raise ConfigError(f"threat_rate={self.threat_rate!r} is outside (0, 1)")
        check_range("synthetic_outliers", self.synthetic_outliers, 0.0, 100.0)
