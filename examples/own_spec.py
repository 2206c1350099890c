"""A specification of your own: the team is never torn over four events in a row.

Look at it:    python examples/own_spec.py
Train with it: python train.py --plugin examples/own_spec.py --stl lagrangian \
                   --specs "united=G[3,inf) (not historically[0,3] torn)"
"""

import numpy as np

import marl_stl_env as mse
from marl_stl_env.engine.spec_signals import StepContext
from marl_stl_env.testing import check_spec_signal
from marl_stl_env.types import Action, BoolArray

SPECS = {"united": "G[3,inf) (not historically[0,3] torn)"}


@mse.register_spec_signal("torn", needs_labels=False)
def torn(step: StepContext) -> BoolArray:
    """Whether the team is split in half, or nearly.

    A signal says what one step was; the formula says what may not last. No label enters, so
    sensors may be shown how much of the specification is left.

    Args:
        step: What happened in every lane.

    Returns:
        A truth (or a number) for every lane.  # (lanes,) bool
    """
    threat = np.isin(step.actions, (Action.BLOCK, Action.QUARANTINE)).sum(axis=1)
    return np.asarray(np.abs(2 * threat - step.actions.shape[1]) <= 1)


def main() -> None:
    """Check the signal, then watch sensors that toss coins."""
    check_spec_signal("torn")
    env = mse.parallel_env(
        dataset="synthetic",
        dataset_options={"rows": 20_000},
        episode_length=500,
        stl={"monitor": True, "specs": SPECS},
    )
    env.reset(seed=0)
    rng, step = np.random.default_rng(0), 0
    while env.agents:
        actions = {agent: int(rng.integers(2)) for agent in env.agents}
        _, _, _, _, infos = env.step(actions)
        step += 1
        if infos["sensor_0"]["cost_united"]:
            print(f"step {step}: sensors that toss coins violate 'united'")


if __name__ == "__main__":
    main()
