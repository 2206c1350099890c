"""Traffic tables: loading, splitting, scaling."""

from marl_stl_env.data.registry import Dataset, dataset_info, datasets, load_dataset
from marl_stl_env.data.table import TrafficTable

__all__ = ["Dataset", "TrafficTable", "dataset_info", "datasets", "load_dataset"]
