"""What is said about a pod, or about a workload's pods, before there are any.

AWS accepts what Fargate does not run, and says so in an event of a pod that nobody looks at. Here
whoever applies it is told at once, in the same words; whether it is refused is a setting. What
hangs on other objects - claims, subnets - is left to the scheduler: they may come a second later.
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
"""Keys by which pods are kept apart: every pod has a node of its own."""
_OURS: Final = frozenset({Outcome.CHOSEN, Outcome.NAMED_UNKNOWN, Outcome.NAMED_MISMATCH})


class Finding(enum.Enum):
    """How an examination ended; the values are a metric's label."""

    FINE = "fine"
    WARNED = "warned"
    REFUSED = "refused"
    NOT_OURS = "not-ours"


@dataclass(frozen=True, slots=True)
class PodCheck:
    """What is answered."""

    finding: Finding
    warnings: tuple[str, ...] = ()
    denial: Denial | None = None


def examine_pod(proposal: Proposal, mode: Mode, classes: RuntimeClasses | None = None) -> PodCheck:
    """Examine a pod that is Fargate's, or containers that are to be put into one.

    Such containers are refused in either mode: no scheduler stands behind.

    Args:
        proposal: What is asked about.
        mode: What becomes of what Fargate does not run.
        classes: Where to look up RuntimeClasses; None leaves them unjudged.
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
    """Examine what a workload's pods will be like, given the profile they would start under.

    Args:
        proposal: What is asked about.
        choice: The profile.
        mode: What becomes of what Fargate does not run.
        classes: Where to look up RuntimeClasses; None leaves them unjudged.
    """
    pod = proposal.pod
    if pod is None or pod.spec is None or choice.outcome not in _OURS:
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
    """Give a template the overhead that its pods get from their RuntimeClass at their creation."""
    found = classes(spec.runtimeClassName) if classes and spec.runtimeClassName else None
    if found is None or found.overhead is None or spec.overhead:
        return spec
    return msgspec.structs.replace(spec, overhead=found.overhead.podFixed)


def _said(pod: Pod, spec: PodSpec, classes: RuntimeClasses | None) -> Iterator[tuple[str, str]]:
    """Yield what the scheduler would say, each with what there is to add."""
    unsupported = why_unsupported(pod, None, classes)
    if unsupported:
        yield unsupported, ""
    for ask in (sizing.size_of, sizing.storage_gib_of):
        try:
            ask(spec)
        except sizing.SizingError as error:
            yield str(error), error.detail
        except sizing.QuantityError as error:
            yield f"The pod's resource requests cannot be read: {error}", ""
            return


def _advice(spec: PodSpec) -> Iterator[str]:
    """Yield what is not heeded, and of which nothing would be said."""
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
                f"{field} does not apply by {', '.join(unheeded)} on Fargate, where every pod has"
                " a node of its own; it does by topology.kubernetes.io/zone"
            )


def _kubelets_port(spec: PodSpec) -> Iterator[str]:
    for container in (*spec.containers, *(spec.initContainers or ())):
        for port in container.ports or ():
            if port.containerPort == KUBELET_PORT and port.protocol in (None, "TCP"):
                yield (
                    f"container {container.name} listens on port {KUBELET_PORT}, which is reserved"
                    " for the kubelet on Fargate: others cannot reach it there; choose another port"
                )


def _keys(wishes: PodAffinity | PodAntiAffinity | None) -> Iterator[str]:
    if wishes is None:
        return
    for term in wishes.requiredDuringSchedulingIgnoredDuringExecution or ():
        yield term.topologyKey
    for each in wishes.preferredDuringSchedulingIgnoredDuringExecution or ():
        yield each.podAffinityTerm.topologyKey
