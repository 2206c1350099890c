"""Names of the metrics that more than one module reads, as every file and log has them."""

from typing import Final

#: Mean reward per event: the metric by which policies are compared.
REWARD: Final = "reward_per_event"
F1: Final = "f1"
#: Threats stopped.
TRUE_POSITIVES: Final = "tp"
#: By how much the worst specification of a checkpoint exceeds its budget of violations.
EXCESS: Final = "violation_excess"
