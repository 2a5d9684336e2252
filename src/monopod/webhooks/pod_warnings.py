"""Warns about pods and workloads that Fargate does not support, at creation.

AWS accepts them, and reports only by an event on the Pending pod. Here the client gets an admission
warning with the same text; a setting turns it into a denial. Checks that depend on other objects
(claims, subnets) are left to the scheduler: those objects may be created a second later.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
from lightkube.models.core_v1 import PodAffinity, PodAntiAffinity, PodSpec
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.fargate import sizing
from monopod.fargate.profiles import Choice, Outcome
from monopod.fargate.unsupported import RuntimeClasses, not_for_debuggers, why_unsupported
from monopod.node.net.cluster_network import KUBELET_PORT
from monopod.webhooks.review import Denial
from monopod.webhooks.settings import Mode
from monopod.webhooks.workload_review import Proposal

_APART: Final = keys.ZONE_LABELS | {"kubernetes.io/hostname"}
"""Topology keys that separate pods: every pod has its own node."""
_OURS: Final = frozenset({Outcome.CHOSEN, Outcome.NAMED_UNKNOWN, Outcome.NAMED_MISMATCH})


class Finding(enum.Enum):
    """Result of an examination; the values are a metric's label."""

    FINE = "fine"
    WARNED = "warned"
    REFUSED = "refused"
    NOT_OURS = "not-ours"


@dataclass(frozen=True, slots=True)
class PodCheck:
    """The result and its answer to the API server."""

    finding: Finding
    warnings: tuple[str, ...] = ()
    denial: Denial | None = None


def examine_pod(proposal: Proposal, mode: Mode, classes: RuntimeClasses | None = None) -> PodCheck:
    """Examine a Fargate pod, or ephemeral containers to add to one.

    Unsupported ephemeral containers are refused in either mode: no scheduler checks them later.

    Args:
        proposal: The object under review.
        mode: Whether to warn about or refuse what is unsupported.
        classes: Looks up RuntimeClasses; None skips the check.
    """
    pod = proposal.pod
    if pod is None or pod.spec is None or pod.spec.schedulerName != keys.SCHEDULER_NAME:
        return PodCheck(Finding.NOT_OURS)
    if proposal.added is not None:
        unsupported = not_for_debuggers(proposal.added)
        return _judged((unsupported,) if unsupported else (), (), Mode.ENFORCE)
    said = tuple(_said(pod, pod.spec, classes))
    advice = (*(detail for _, detail in said if detail), *_advice(pod.spec))
    return _judged(tuple(fault for fault, _ in said), advice, mode)


def examine_workload(
    proposal: Proposal, choice: Choice, mode: Mode, classes: RuntimeClasses | None = None
) -> PodCheck:
    """Examine a workload's pod template, given the profile its pods would start under.

    Args:
        proposal: The object under review.
        choice: The profile.
        mode: Whether to warn about or refuse what is unsupported.
        classes: Looks up RuntimeClasses; None skips the check.
    """
    pod = proposal.pod
    if pod is None or pod.spec is None:
        return PodCheck(Finding.NOT_OURS)
    if choice.outcome not in _OURS and pod.spec.runtimeClassName != keys.RUNTIME_CLASS:
        return PodCheck(Finding.NOT_OURS)
    spec = _with_overhead(pod.spec, classes)
    said = tuple(_said(pod, spec, classes))
    faults = tuple(fault for fault, _ in said)
    advice = [*(detail for _, detail in said if detail), *_advice(spec)]
    if choice.outcome is not Outcome.CHOSEN:
        advice.append(choice.message)
    elif faults:
        advice.append(
            f"{proposal.workload}: its pods match Fargate profile {choice.profile}, and would"
            " stay Pending"
        )
    return _judged(faults, tuple(advice), mode)


def _judged(faults: tuple[str, ...], advice: tuple[str, ...], mode: Mode) -> PodCheck:
    if faults and mode is Mode.ENFORCE:
        return PodCheck(Finding.REFUSED, advice, Denial("; ".join(faults)))
    if faults or advice:
        return PodCheck(Finding.WARNED, (*faults, *advice))
    return PodCheck(Finding.FINE)


def _with_overhead(spec: PodSpec, classes: RuntimeClasses | None) -> PodSpec:
    """Return a template's spec with the overhead that its pods get from their RuntimeClass."""
    found = classes(spec.runtimeClassName) if classes and spec.runtimeClassName else None
    if found is None or found.overhead is None or spec.overhead:
        return spec
    return msgspec.structs.replace(spec, overhead=found.overhead.podFixed)


def _said(pod: Pod, spec: PodSpec, classes: RuntimeClasses | None) -> Iterator[tuple[str, str]]:
    """Yield the scheduler's messages, each with a detail or an empty string."""
    unsupported = why_unsupported(pod, None, classes)
    if unsupported:
        yield unsupported, ""
    for ask in (sizing.size_of, sizing.storage_gib_of):
        try:
            ask(spec)
        except sizing.SizingError as error:
            yield str(error), error.detail
        except sizing.QuantityError as error:
            yield f"Cannot parse the pod's resource requests: {error}", ""
            return


def _advice(spec: PodSpec) -> Iterator[str]:
    """Yield warnings about fields that have no effect on Fargate."""
    yield from _kubelets_port(spec)
    affinity = spec.affinity
    near = affinity.podAffinity if affinity else None
    apart = affinity.podAntiAffinity if affinity else None
    rows = (
        (
            "topologySpreadConstraints",
            [each.topologyKey for each in spec.topologySpreadConstraints or ()],
            _APART,
        ),
        ("affinity.podAffinity", list(_keys(near)), keys.ZONE_LABELS),
        ("affinity.podAntiAffinity", list(_keys(apart)), _APART),
    )
    for field, used, kept in rows:
        unheeded = sorted(set(used) - kept)
        if unheeded:
            yield (
                f"{field} has no effect with topologyKey {', '.join(unheeded)} on Fargate, where"
                " every pod has its own node; use topology.kubernetes.io/zone"
            )


def _kubelets_port(spec: PodSpec) -> Iterator[str]:
    for container in (*spec.containers, *(spec.initContainers or ())):
        for port in container.ports or ():
            if port.containerPort == KUBELET_PORT and port.protocol in (None, "TCP"):
                yield (
                    f"container {container.name} listens on port {KUBELET_PORT}, which is reserved"
                    " for the kubelet on Fargate: other pods cannot reach it; choose another port"
                )


def _keys(wishes: PodAffinity | PodAntiAffinity | None) -> Iterator[str]:
    if wishes is None:
        return
    for term in wishes.requiredDuringSchedulingIgnoredDuringExecution or ():
        yield term.topologyKey
    for each in wishes.preferredDuringSchedulingIgnoredDuringExecution or ():
        yield each.podAffinityTerm.topologyKey
