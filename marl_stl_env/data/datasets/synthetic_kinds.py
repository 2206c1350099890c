"""The kinds of synthetic events and the laws of their features, as tables.

Every attack resembles one benign kind (its look-alike): in two of the four views the two have
the very same laws, in the other two they differ. Each of the six attacks is given away by a
different one of the six pairs of views, so no view and no pair of views suffices.
"""

from __future__ import annotations

from dataclasses import dataclass

from marl_stl_env.data.datasets.synthetic_laws import (
    BERNOULLI,
    LOG_NORMAL,
    NORMAL,
    POISSON,
    Law,
    Parameters,
    categorical,
)

#: Part of the table's ``source``: raise it with every change that alters generated events.
VERSION = 1


@dataclass(frozen=True)
class Feature:
    """One column: its name, the view that shows it and its law."""

    name: str
    view: str
    law: Law


@dataclass(frozen=True)
class Kind:
    """One kind of event: how often it occurs and the parameters of each feature's law."""

    name: str
    prior: float
    threat: bool
    laws: dict[str, Parameters]


FEATURES = (
    Feature("protocol", "flow", categorical("tcp", "udp", "icmp")),
    Feature("duration", "flow", LOG_NORMAL),  # seconds
    Feature("bytes_out", "flow", LOG_NORMAL),
    Feature("bytes_in", "flow", LOG_NORMAL),
    Feature("packet_size", "flow", LOG_NORMAL),  # bytes
    Feature("retransmissions", "flow", POISSON),
    Feature("service", "content", categorical("http", "dns", "smtp", "ssh", "smb", "none")),
    Feature("entropy", "content", NORMAL),  # bits per byte of payload, an estimate
    Feature("header_fields", "content", POISSON),
    Feature("failed_logins", "content", POISSON),
    Feature("signed", "content", BERNOULLI),  # a known signature or certificate
    Feature("gap", "timing", LOG_NORMAL),  # seconds between requests
    Feature("jitter", "timing", LOG_NORMAL),  # spread of the gaps over their mean
    Feature("delay", "timing", LOG_NORMAL),  # seconds until the answer
    Feature("burst", "timing", POISSON),  # requests in the busiest second
    Feature("retries", "timing", POISSON),
    Feature("peers", "host", POISSON),  # of the host's last 100 connections, likewise below
    Feature("ports", "host", POISSON),
    Feature("refused", "host", POISSON),
    Feature("focus", "host", NORMAL),  # log-odds of asking for the same service again
    Feature("external", "host", BERNOULLI),  # the peer is outside the network
    Feature("reputation", "host", NORMAL),  # of the peer; 0 is average
)
VIEWS = tuple(dict.fromkeys(feature.view for feature in FEATURES))

_WEB: dict[str, Parameters] = {
    "protocol": (0.90, 0.09, 0.01),
    "duration": (1.5, 1.0),
    "bytes_out": (1_500, 1.0),
    "bytes_in": (20_000, 1.2),
    "packet_size": (700, 0.5),
    "retransmissions": (0.5,),
    "service": (0.92, 0.02, 0.01, 0.01, 0.01, 0.03),
    "entropy": (5.5, 0.8),
    "header_fields": (12,),
    "failed_logins": (0.05,),
    "signed": (0.8,),
    "gap": (2.0, 1.0),
    "jitter": (1.0, 0.6),
    "delay": (0.08, 0.7),
    "burst": (4,),
    "retries": (0.4,),
    "peers": (12,),
    "ports": (3,),
    "refused": (1,),
    "focus": (1.0, 0.8),
    "external": (0.9,),
    "reputation": (0.5, 1.0),
}
_DNS = _WEB | {
    "protocol": (0.03, 0.96, 0.01),
    "duration": (0.05, 0.8),
    "bytes_out": (70, 0.4),
    "bytes_in": (180, 0.5),
    "packet_size": (110, 0.3),
    "service": (0.01, 0.95, 0.01, 0.01, 0.01, 0.01),
    "entropy": (4.2, 0.5),
    "header_fields": (5,),
    "signed": (0.3,),
    "gap": (5.0, 1.0),
    "delay": (0.02, 0.6),
    "burst": (2,),
    "peers": (2,),
    "external": (0.15,),
}
_MAIL = _WEB | {
    "bytes_out": (12_000, 1.3),
    "bytes_in": (900, 0.8),
    "service": (0.02, 0.01, 0.93, 0.01, 0.01, 0.02),
    "header_fields": (20,),
    "gap": (30.0, 1.0),
    "delay": (0.4, 0.8),
    "burst": (1.5,),
    "peers": (5,),
    "focus": (2.0, 0.8),
}
_ADMIN = _WEB | {
    "duration": (120, 1.2),
    "bytes_out": (9_000, 1.0),
    "bytes_in": (30_000, 1.0),
    "packet_size": (180, 0.4),
    "service": (0.02, 0.01, 0.01, 0.93, 0.02, 0.01),
    "entropy": (7.6, 0.2),
    "header_fields": (4,),
    "failed_logins": (0.2,),
    "gap": (0.6, 0.8),
    "peers": (3,),
    "external": (0.1,),
}
_FILES = _WEB | {
    "duration": (6, 1.2),
    "bytes_out": (40_000, 1.4),
    "bytes_in": (80_000, 1.4),
    "packet_size": (1_000, 0.4),
    "service": (0.02, 0.01, 0.01, 0.02, 0.92, 0.02),
    "header_fields": (7,),
    "gap": (0.5, 1.0),
    "peers": (3,),
    "external": (0.02,),
    "focus": (1.8, 0.8),
}
_BACKUP = _WEB | {
    "duration": (400, 0.8),
    "bytes_out": (3e7, 1.0),
    "bytes_in": (40_000, 0.9),
    "packet_size": (1_350, 0.15),
    "service": (0.25, 0.01, 0.01, 0.35, 0.35, 0.03),
    "entropy": (7.2, 0.5),
    "header_fields": (6,),
    "signed": (0.85,),
    "gap": (0.02, 0.7),
    "jitter": (0.4, 0.5),
    "burst": (30,),
    "peers": (2.5,),
    "ports": (2,),
    "focus": (2.5, 0.8),
    "external": (0.25,),
    "reputation": (0.6, 0.9),
}
_SCAN = _WEB | {
    "protocol": (0.70, 0.10, 0.20),
    "duration": (0.02, 0.9),
    "bytes_out": (80, 0.4),
    "bytes_in": (60, 0.6),
    "packet_size": (60, 0.2),
    "service": (0.25, 0.10, 0.05, 0.20, 0.15, 0.25),
    "entropy": (2.5, 1.0),
    "header_fields": (1.5,),
    "signed": (0.1,),
    "gap": (0.25, 0.6),
    "jitter": (0.25, 0.5),
    "delay": (0.02, 0.8),
    "burst": (12,),
    "retries": (0.5,),
    "peers": (45,),
    "ports": (9,),
    "refused": (9,),
    "focus": (-1.5, 0.8),
    "external": (0.05,),
}
_UPDATE = _WEB | {
    "duration": (0.8, 0.7),
    "bytes_out": (600, 0.6),
    "bytes_in": (2_500, 0.9),
    "packet_size": (450, 0.4),
    "service": (0.85, 0.08, 0.01, 0.01, 0.01, 0.04),
    "entropy": (5.8, 0.8),
    "header_fields": (8,),
    "signed": (0.8,),
    "gap": (300, 0.5),
    "jitter": (0.05, 0.6),
    "burst": (1,),
    "peers": (2,),
    "ports": (1.5,),
    "focus": (3.5, 0.7),
    "external": (0.95,),
    "reputation": (0.0, 1.0),
}
_CROWD = _WEB | {
    "duration": (0.5, 0.9),
    "bytes_out": (500, 0.7),
    "bytes_in": (1_500, 1.2),
    "packet_size": (350, 0.5),
    "retransmissions": (3,),
    "service": (0.95, 0.01, 0.01, 0.01, 0.01, 0.01),
    "header_fields": (8,),
    "gap": (0.03, 0.8),
    "jitter": (1.0, 0.5),
    "delay": (1.2, 0.8),
    "burst": (40,),
    "retries": (2,),
    "peers": (60,),
    "refused": (12,),
    "focus": (3.5, 0.8),
    "external": (0.95,),
    "reputation": (0.0, 1.0),
}
_MISTYPED = _ADMIN | {
    "duration": (12, 0.7),
    "bytes_out": (1_200, 0.5),
    "bytes_in": (1_500, 0.5),
    "service": (0.30, 0.01, 0.05, 0.45, 0.17, 0.02),
    "entropy": (6.5, 0.8),
    "header_fields": (5,),
    "failed_logins": (2.0,),
    "signed": (0.6,),
    "gap": (4.0, 0.8),
    "jitter": (0.8, 0.5),
    "delay": (0.3, 0.6),
    "burst": (1.5,),
    "retries": (1.5,),
    "peers": (2.5,),
    "refused": (6,),
    "focus": (2.5, 0.8),
    "external": (0.15,),
    "reputation": (0.0, 1.0),
    "packet_size": (150, 0.3),
}
_ROLLOUT = _WEB | {
    "duration": (15, 0.9),
    "bytes_out": (60_000, 1.0),
    "bytes_in": (2_000, 0.8),
    "packet_size": (900, 0.4),
    "retransmissions": (1.0,),
    "service": (0.40, 0.01, 0.01, 0.15, 0.40, 0.03),
    "entropy": (6.8, 0.7),
    "header_fields": (18,),
    "failed_logins": (0.1,),
    "signed": (0.6,),
    "gap": (0.3, 0.8),
    "jitter": (0.7, 0.5),
    "delay": (0.5, 0.8),
    "burst": (8,),
    "retries": (1.2,),
    "peers": (25,),
    "ports": (4,),
    "refused": (3,),
    "focus": (0.5, 0.8),
    "external": (0.1,),
}

# An attack differs from its look-alike in exactly the columns written here.
_EXFILTRATION = _BACKUP | {  # content and host
    "service": (0.50, 0.12, 0.03, 0.18, 0.10, 0.07),
    "entropy": (7.75, 0.25),
    "signed": (0.2,),
    "peers": (4,),
    "external": (0.85,),
    "reputation": (-1.1, 0.9),
    "refused": (4.5,),
}
_RECON = _SCAN | {  # timing and host
    "gap": (0.09, 0.6),
    "jitter": (0.50, 0.5),
    "retries": (1.5,),
    "ports": (15,),
    "refused": (15,),
    "external": (0.30,),
}
_COMMAND_AND_CONTROL = _UPDATE | {  # flow and content
    "duration": (2.5, 0.7),
    "bytes_out": (2_000, 0.6),
    "bytes_in": (400, 0.9),
    "service": (0.60, 0.28, 0.01, 0.03, 0.01, 0.07),
    "entropy": (7.3, 0.5),
    "signed": (0.12,),
}
_FLOOD = _CROWD | {  # flow and timing
    "protocol": (0.70, 0.25, 0.05),
    "bytes_in": (250, 1.2),
    "packet_size": (140, 0.5),
    "gap": (0.01, 0.8),
    "jitter": (0.55, 0.5),
    "burst": (55,),
}
_BRUTE_FORCE = _MISTYPED | {  # content and timing
    "entropy": (7.2, 0.6),
    "failed_logins": (6.0,),
    "signed": (0.35,),
    "gap": (1.2, 0.8),
    "jitter": (0.32, 0.5),
    "retries": (3.5,),
}
_EXPLOIT = _ROLLOUT | {  # flow and host
    "duration": (40, 0.9),
    "packet_size": (1_200, 0.25),
    "retransmissions": (3.5,),
    "peers": (17,),
    "ports": (7,),
    "external": (0.45,),
    "reputation": (-0.6, 1.0),
}

KINDS = (
    Kind("web", 0.220, False, _WEB),
    Kind("dns", 0.140, False, _DNS),
    Kind("mail", 0.070, False, _MAIL),
    Kind("admin_session", 0.054, False, _ADMIN),
    Kind("file_share", 0.080, False, _FILES),
    Kind("backup", 0.042, False, _BACKUP),
    Kind("monitoring_scan", 0.066, False, _SCAN),
    Kind("update_beacon", 0.063, False, _UPDATE),
    Kind("flash_crowd", 0.060, False, _CROWD),
    Kind("mistyped_password", 0.054, False, _MISTYPED),
    Kind("software_rollout", 0.042, False, _ROLLOUT),
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
