"""Connection to a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from marl_stl_agents.config import TrainConfig
from marl_stl_env.errors import ClusterError, MissingLibraryError

_OBJECT_STORE = 500_000_000  # bytes


@contextmanager
def cluster(config: TrainConfig) -> Iterator[None]:
    """Connect to the cluster at the configured address, or start one on this machine.

    If the process is already connected, that connection is used and left open.

    Args:
        config: The run; ``cluster`` holds the address, or the number of runners and learners.

    Raises:
        ClusterError: If no cluster answers at the address.
        MissingLibraryError: If Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingLibraryError("ray", "rllib") from error
    if ray.is_initialized():
        yield
        return
    if config.cluster.address:
        try:
            ray.init(address=config.cluster.address, log_to_driver=False)
        except ConnectionError as error:
            raise ClusterError(
                f"no Ray cluster answers at {config.cluster.address!r}: {error}; start one with "
                "`ray start --head`, or leave --address out for one on this machine"
            ) from error
    else:
        ray.init(
            num_cpus=config.cluster.runners + config.cluster.learners,
            object_store_memory=_OBJECT_STORE,
            include_dashboard=False,
            log_to_driver=False,
        )
    try:
        yield
    finally:
        ray.shutdown()
