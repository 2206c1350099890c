"""A decision rule of your own: the median of how severe the sensors find an event.

Look at it:    python examples/own_rule.py
Train with it: python train.py --plugin examples/own_rule.py --rule median
"""

import numpy as np

import marl_stl_env as mse
from marl_stl_env.consensus.rules import decide
from marl_stl_env.testing import check_rule
from marl_stl_env.types import Action, Int8Array

#: The actions from harmless to severe, and the place of each action in that order.
BY_SEVERITY = np.array([Action.ALLOW, Action.ALERT, Action.BLOCK, Action.QUARANTINE], np.int8)
SEVERITY = np.argsort(BY_SEVERITY)


@mse.register_rule("median")
def median(actions: Int8Array, max_faulty: int, threshold: int) -> Int8Array:
    """The middle one of the sensors' actions, ordered by severity.

    With f Byzantine sensors among n > 2 f the median lies between two honest actions. Silence
    counts as Allow.

    Args:
        actions: 0 to 3, or -1 for silence.  # (lanes, agents) int8
        max_faulty: Byzantine sensors to tolerate.
        threshold: Threat votes that the built-in rule would ask for.

    Returns:
        One decision per lane.  # (lanes,) int8
    """
    del max_faulty, threshold  # the median needs neither
    severity = np.sort(SEVERITY[np.maximum(actions, Action.ALLOW)], axis=1)
    return BY_SEVERITY[severity[:, (actions.shape[1] - 1) // 2]]


def main() -> None:
    """Check the rule, then put it beside the built-in one."""
    check_rule("median")
    actions = np.array([[0, 3, 1, 2, 2], [0, 0, 0, 2, 2], [0, 1, 1, 1, 2]], np.int8)
    ours, builtin = median(actions, 1, 3), decide(actions, 1, 3)
    for lane, votes in enumerate(actions):
        names = ", ".join(Action(vote).name for vote in votes)
        print(f"{names}: {Action(ours[lane]).name}, built in {Action(builtin[lane]).name}")
    env = mse.parallel_env(agents=5, consensus={"rule": "median"})
    env.reset(seed=0)
    _, _, _, _, infos = env.step(dict.fromkeys(env.agents, int(Action.ALERT)))
    print(f"five alerts: {Action(infos['sensor_0']['decision']).name}")


if __name__ == "__main__":
    main()
