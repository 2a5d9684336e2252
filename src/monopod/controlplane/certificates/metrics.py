"""Metrics of the control plane's certificates."""

from collections.abc import Sequence

from prometheus_client import Counter, Gauge

from monopod.identity.store import Dated

EXPIRY = Gauge(
    "monopod_certificate_expiry_timestamp_seconds",
    "When a certificate of the control plane expires, in seconds since the epoch.",
    ("identity", "file"),
)
ISSUED = Gauge(
    "monopod_certificate_not_before_timestamp_seconds",
    "When the validity of a certificate of the control plane began, in seconds since the epoch.",
    ("identity", "file"),
)
RENEWED = Counter(
    "monopod_certificate_renewals_total",
    "Identities whose certificates were renewed.",
    ("identity",),
)
FAILED = Counter(
    "monopod_certificate_renewal_failures_total",
    "Checks of all certificates that failed.",
)


def show(certificates: Sequence[Dated]) -> None:
    """Show these certificates, and no others."""
    EXPIRY.clear()
    ISSUED.clear()
    for each in certificates:
        EXPIRY.labels(each.identity, each.file).set(each.validity.expires.timestamp())
        ISSUED.labels(each.identity, each.file).set(each.validity.begins.timestamp())
