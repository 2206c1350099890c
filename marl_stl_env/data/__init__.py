"""Traffic tables: loading, splitting, scaling."""

from marl_stl_env.data.info import Dataset
from marl_stl_env.data.ingest.sources.flows import read_flows
from marl_stl_env.data.prepare import PreparedData, prepare
from marl_stl_env.data.preprocess import Preprocessor
from marl_stl_env.data.registry import dataset_info, load_dataset
from marl_stl_env.data.splits.report import SplitPart, SplitReport
from marl_stl_env.data.splits.rows import split_rows
from marl_stl_env.data.table import TrafficTable

__all__ = [
    "Dataset",
    "PreparedData",
    "Preprocessor",
    "SplitPart",
    "SplitReport",
    "TrafficTable",
    "dataset_info",
    "load_dataset",
    "prepare",
    "read_flows",
    "split_rows",
]
