"""The features of synthetic events: the view that shows each and the law it follows."""

from __future__ import annotations

from dataclasses import dataclass

from marl_stl_env.data.datasets.synthetic.laws import (
    BERNOULLI,
    LOG_NORMAL,
    NORMAL,
    POISSON,
    Law,
    categorical,
)


@dataclass(frozen=True)
class Feature:
    """A column.

    Attributes:
        name: Name of the column.
        view: View that shows it.
        law: Family of its distributions; each kind of event has its own parameters.
    """

    name: str
    view: str
    law: Law


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
