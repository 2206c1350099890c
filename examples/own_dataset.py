"""A data set of your own: DNS queries, some of which smuggle data out.

Look at it:  python examples/own_dataset.py
Check it:    marl-stl-data check dns-tunnels --plugin examples/own_dataset.py
Train on it: python train.py --plugin examples/own_dataset.py --dataset dns-tunnels
"""

import numpy as np

import marl_stl_env as mse
from marl_stl_env.testing import check_dataset

COLUMNS = ("query_length", "entropy", "answers", "ttl", "queries_last_minute", "distinct_names")


@mse.register_dataset("dns-tunnels")
def dns_tunnels(rows: int = 20_000, threat_share: float = 0.1, seed: int = 0) -> mse.TrafficTable:
    """DNS queries of 50 hosts, some of which are tunnels.

    The parameters are the options of the data set: ``--dataset-options rows=5000``. The first line
    above is what ``marl-stl-data list`` shows. Reading a file works the same way: take a parameter
    ``path``, and put the file's SHA-256 into the table's ``source``.

    Returns:
        The raw table, in time order; it is split and scaled for you.
    """
    rng = np.random.default_rng(seed)
    tunnel = rng.random(rows) < threat_share
    features = np.column_stack(
        [
            rng.gamma(8.0, np.where(tunnel, 6.0, 2.5)),
            rng.normal(np.where(tunnel, 3.9, 3.2), 0.4),
            rng.poisson(np.where(tunnel, 1.0, 1.6)),
            rng.exponential(np.where(tunnel, 30.0, 900.0)),
            rng.poisson(np.where(tunnel, 25.0, 9.0)),
            rng.poisson(np.where(tunnel, 20.0, 5.0)),
        ]
    )
    return mse.TrafficTable(
        name="dns-tunnels",
        features=features.astype(np.float32),
        labels=tunnel,
        families=tunnel.astype(np.int16),  # codes into the next line
        family_names=("lookup", "tunnel"),
        feature_names=COLUMNS,
        views={"query": (0, 1), "answer": (2, 3), "rhythm": (4, 5)},  # what a sensor may see
        entities=rng.integers(0, 50, rows).astype(np.int32),  # hosts, for TrafficResponse-v0
        times=np.sort(rng.uniform(0.0, 86_400.0, rows)),
    )


def main() -> None:
    """Check the data set, then play one event of it."""
    check_dataset("dns-tunnels", rows=5_000)
    env = mse.parallel_env(dataset="dns-tunnels", dataset_options={"rows": 5_000})
    observations, _ = env.reset(seed=0)
    print(mse.load_dataset("dns-tunnels"))
    print(f"sensor_0 sees {observations['sensor_0'].shape[0]} columns of each query")


if __name__ == "__main__":
    main()
