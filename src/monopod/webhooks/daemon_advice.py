"""Advice for the author of a DaemonSet: sidecars take its place, or what prevents that."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from monopod.api import keys
from monopod.fargate.sidecars import Rules, find_faults
from monopod.fargate.sidecars.annotations import BadAnnotationError, parse_labels, parse_names
from monopod.fargate.sidecars.template import WAY_OUT
from monopod.webhooks.pod_warnings import Finding, PodCheck
from monopod.webhooks.workload_review import Daemon, Proposal

_GUIDE: Final = "docs/how-to/daemons-as-sidecars.md"


def with_daemon_advice(proposal: Proposal, found: PodCheck) -> PodCheck:
    """Return what was found in a workload, with advice if it is a DaemonSet."""
    if proposal.daemon is None:
        return found
    advice = tuple(_advice(proposal.daemon, on_fargate=found.finding is not Finding.NOT_OURS))
    return replace(found, warnings=(*found.warnings, *advice))


def _advice(daemon: Daemon, *, on_fargate: bool) -> Iterator[str]:
    scope = daemon.annotations.get(keys.SIDECAR_INJECTION)
    if scope is None:
        if on_fargate:
            yield (
                "Fargate pods can have its containers as sidecars: annotate the DaemonSet with"
                f" {keys.SIDECAR_INJECTION}: Namespace, or see {_GUIDE}"
            )
        return
    copied = parse_names(daemon.annotations.get(keys.SIDECAR_CONFIG_MAPS_ANNOTATION, ""))
    cluster = scope == keys.SIDECAR_INJECTION_CLUSTER
    faults = find_faults(daemon.template, Rules(cluster, frozenset(copied)))
    if faults:
        yield (
            f"annotation {keys.SIDECAR_INJECTION}: this template cannot be injected:"
            f" {'; '.join(faults)}. {WAY_OUT}"
        )
    for name in (keys.SIDECAR_PODS_ANNOTATION, keys.SIDECAR_NAMESPACES_ANNOTATION):
        try:
            parse_labels(name, daemon.annotations.get(name, ""))
        except BadAnnotationError as error:
            yield str(error)
    if on_fargate:
        yield (
            f"annotation {keys.SIDECAR_INJECTION}: keep the DaemonSet's own pods off Fargate by"
            f" the annotation {keys.COMPUTE_TYPE_KEY}: {keys.COMPUTE_TYPE_EC2} in its template"
        )
