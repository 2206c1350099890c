"""The kinds of synthetic events: their frequency and the parameters of their features.

Every attack resembles one benign kind, its look-alike. The two differ in two of the four views and
have the same distributions in the other two. Each of the six attacks differs in another one of the
six pairs of views, so no single view and no pair of views suffices to detect all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from marl_stl_env.data.datasets.synthetic.benign import (
    ADMIN,
    BACKUP,
    CROWD,
    DNS,
    FILES,
    MAIL,
    MISTYPED,
    ROLLOUT,
    SCAN,
    UPDATE,
    WEB,
)
from marl_stl_env.data.datasets.synthetic.laws import Parameters

#: Part of the table's ``source``; increase it with every change that alters generated events.
VERSION = 1


@dataclass(frozen=True)
class Kind:
    """A kind of event.

    Attributes:
        name: Name of the kind; for threats also of the attack family.
        prior: Probability of the kind.
        threat: True for an attack.
        laws: Feature to the parameters of its law.
    """

    name: str
    prior: float
    threat: bool
    laws: dict[str, Parameters]


# An attack differs from its look-alike in exactly the columns written here.
_EXFILTRATION = BACKUP | {  # content and host
    "service": (0.50, 0.12, 0.03, 0.18, 0.10, 0.07),
    "entropy": (7.75, 0.25),
    "signed": (0.2,),
    "peers": (4,),
    "external": (0.85,),
    "reputation": (-1.1, 0.9),
    "refused": (4.5,),
}
_RECON = SCAN | {  # timing and host
    "gap": (0.09, 0.6),
    "jitter": (0.50, 0.5),
    "retries": (1.5,),
    "ports": (15,),
    "refused": (15,),
    "external": (0.30,),
}
_COMMAND_AND_CONTROL = UPDATE | {  # flow and content
    "duration": (2.5, 0.7),
    "bytes_out": (2_000, 0.6),
    "bytes_in": (400, 0.9),
    "service": (0.60, 0.28, 0.01, 0.03, 0.01, 0.07),
    "entropy": (7.3, 0.5),
    "signed": (0.12,),
}
_FLOOD = CROWD | {  # flow and timing
    "protocol": (0.70, 0.25, 0.05),
    "bytes_in": (250, 1.2),
    "packet_size": (140, 0.5),
    "gap": (0.01, 0.8),
    "jitter": (0.55, 0.5),
    "burst": (55,),
}
_BRUTE_FORCE = MISTYPED | {  # content and timing
    "entropy": (7.2, 0.6),
    "failed_logins": (6.0,),
    "signed": (0.35,),
    "gap": (1.2, 0.8),
    "jitter": (0.32, 0.5),
    "retries": (3.5,),
}
_EXPLOIT = ROLLOUT | {  # flow and host
    "duration": (40, 0.9),
    "packet_size": (1_200, 0.25),
    "retransmissions": (3.5,),
    "peers": (17,),
    "ports": (7,),
    "external": (0.45,),
    "reputation": (-0.6, 1.0),
}

KINDS = (
    Kind("web", 0.220, False, WEB),
    Kind("dns", 0.140, False, DNS),
    Kind("mail", 0.070, False, MAIL),
    Kind("admin_session", 0.054, False, ADMIN),
    Kind("file_share", 0.080, False, FILES),
    Kind("backup", 0.042, False, BACKUP),
    Kind("monitoring_scan", 0.066, False, SCAN),
    Kind("update_beacon", 0.063, False, UPDATE),
    Kind("flash_crowd", 0.060, False, CROWD),
    Kind("mistyped_password", 0.054, False, MISTYPED),
    Kind("software_rollout", 0.042, False, ROLLOUT),
    Kind("recon", 0.022, True, _RECON),
    Kind("exploit", 0.014, True, _EXPLOIT),
    Kind("command_and_control", 0.021, True, _COMMAND_AND_CONTROL),
    Kind("exfiltration", 0.014, True, _EXFILTRATION),
    Kind("brute_force", 0.018, True, _BRUTE_FORCE),
    Kind("flood", 0.020, True, _FLOOD),
)
#: Attack to its benign look-alike.
LOOK_ALIKES = {
    "recon": "monitoring_scan",
    "exploit": "software_rollout",
    "command_and_control": "update_beacon",
    "exfiltration": "backup",
    "brute_force": "mistyped_password",
    "flood": "flash_crowd",
}
