"""The signals of a step, for specifications to speak of.

===========================  ====================================================================
signal                       meaning
===========================  ====================================================================
``threat``                   the event is a threat (boolean, like the next three)
``stopped``                  it was stopped: by Block, by Quarantine or by a running isolation
``isolated``                 its entity was isolated already
``alerted``                  the team called the analyst
``reward``                   what the decision earned
``age``                      at a threat that passed: steps since the first of its entity's threats
                             of which none was stopped since; 0 at all other events
``quarantined``              entities in isolation
``quarantined_fraction``     their number over that of the entities met in the last 64 steps
``alerts_<w>``               alerts in the last w steps, and so on for the next ones
``quarantines_<w>``          quarantines begun
``threats_<w>``              threats of entities not isolated
``misses_<w>``               threats that passed
``benign_<w>``               benign events of entities not isolated
``false_alarms_<w>``         benign events among them that were stopped
``requarantined_benign_<w>`` whether a benign event's entity went into quarantine, having left it
                             at most w steps before (0 or 1)
``denied_<w>``               share of the benign events of the last w steps that were stopped, those
                             of isolated entities included; 0 where there were none
``missed_margin_<w>``        misses that the specified rate would still allow
``false_alarm_margin_<w>``   false alarms that it would still allow
===========================  ====================================================================

``age``, ``quarantined`` and ``requarantined_benign`` need the dynamics "response". The margins are
those of :class:`~marl_stl_env.stl.specs.Allowances`.
"""

from marl_stl_env.engine.spec_signals.book import SignalBook
from marl_stl_env.engine.spec_signals.registered import (
    SIGNALS,
    OwnSignal,
    SpecSignal,
    needs_labels,
    of_entity,
    register_spec_signal,
)
from marl_stl_env.engine.spec_signals.step import StepContext

__all__ = [
    "SIGNALS",
    "OwnSignal",
    "SignalBook",
    "SpecSignal",
    "StepContext",
    "needs_labels",
    "of_entity",
    "register_spec_signal",
]
