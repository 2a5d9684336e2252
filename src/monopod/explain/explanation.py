"""From a snapshot to its explanation."""

from typing import Final

from monopod.api import conditions, keys
from monopod.api.resources import MicroVM
from monopod.explain import machine, matching, phases, placement, refusal, size
from monopod.explain.findings import Explanation, Finding, Section, bad, plain, remedy
from monopod.explain.snapshot import Snapshot
from monopod.kube import meta
from monopod.profiles import Outcome

_TITLE: Final = "Scheduler"
_ENDED: Final = ("Succeeded", "Failed")
_PENDING_STEPS: Final = (
    ("Ready", "its node is ready, the pod is about to be bound"),
    ("Registered", "its kubelet has registered and is getting ready"),
    ("Launched", "it boots"),
    ("Addressed", "it is about to be launched"),
)


def explain(snapshot: Snapshot) -> Explanation:
    """Explain why a pod is where it is."""
    possible = (
        _scheduler(snapshot),
        matching.section(snapshot),
        size.section(snapshot) if _for_fargate(snapshot) else None,
        placement.section(snapshot),
        machine.section(snapshot),
        phases.section(snapshot),
        refusal.section(snapshot),
        refusal.warnings(snapshot),
    )
    return Explanation(
        headline=f"{snapshot.namespace}/{snapshot.name}: {_state(snapshot)}",
        answer=_answer(snapshot),
        sections=tuple(section for section in possible if section is not None),
    )


def _for_fargate(snapshot: Snapshot) -> bool:
    return snapshot.on_fargate or matching.natural_choice(snapshot).profile is not None


def _state(snapshot: Snapshot) -> str:
    phase = snapshot.status.phase or "Pending"
    words = [phase]
    if meta(snapshot.pod).deletionTimestamp is not None:
        words.append("being deleted")
    elif phase == "Running":
        ready = snapshot.condition("Ready")
        words.append("ready" if ready and ready.status == conditions.TRUE else "not ready")
    if snapshot.bound_to:
        words.append(f"on {snapshot.bound_to}")
    return ", ".join(words)


def _answer(snapshot: Snapshot) -> str:
    if snapshot.status.phase in _ENDED:
        status = snapshot.status
        why = ": ".join(part for part in (status.reason, status.message) if part)
        return "It has ended." + (f" {why}." if why else "")
    if snapshot.on_fargate:
        return _on_fargate(snapshot)
    where = (
        f"It is on the ordinary node {snapshot.bound_to}"
        if snapshot.bound_to
        else "It waits for an ordinary node"
    )
    return f"{where}, not on a microVM: {_why_ordinary(snapshot)}"


def _on_fargate(snapshot: Snapshot) -> str:
    if snapshot.bound_to:
        name = meta(snapshot.machine).name if snapshot.machine else None
        return f"It has a microVM of its own{f', {name}' if name else ''}, which is its node."
    if snapshot.spec.schedulingGates:
        return "It waits for its scheduling gates to be removed."
    refused = refusal.refusal(snapshot)
    if refused is not None:
        return f"It cannot start as things are: {refused[1].rstrip('.')}."
    if snapshot.machine is not None:
        name = meta(snapshot.machine).name
        return f"Its microVM {name} is on its way: {_progress(snapshot.machine)}."
    return "Fargate's scheduler has not said anything about it yet."


def _progress(found: MicroVM) -> str:
    turned = found.status.conditions if found.status else []
    for kind, words in _PENDING_STEPS:
        if conditions.is_true(turned, kind):
            return words
    return "it has been asked for"


def _why_ordinary(snapshot: Snapshot) -> str:
    choice = matching.natural_choice(snapshot)
    if choice.outcome is not Outcome.CHOSEN or choice.profile is None:
        return f"{choice.message[0].lower()}{choice.message[1:]}"
    if matching.created_after(snapshot, choice.profile):
        return (
            f"Fargate profile {choice.profile} selects it, but is younger than the pod, and a pod"
            " is matched once, when it is created."
        )
    return (
        f"Fargate profile {choice.profile} selects it, but the pod was created with"
        f" schedulerName {snapshot.spec.schedulerName}: it asked for that, or Monopod's webhook"
        " did not answer when it was created."
    )


def _scheduler(snapshot: Snapshot) -> Section | None:
    """What the pod's own fields say about who is to place it."""
    findings: list[Finding] = []
    if snapshot.on_fargate:
        if keys.PROFILE_LABEL not in snapshot.labels:
            findings += [
                bad(
                    f"schedulerName is {keys.SCHEDULER_NAME}, but there is no label"
                    f" {keys.PROFILE_LABEL}: the webhook has not marked this pod"
                )
            ]
        if not snapshot.bound_to and snapshot.condition("PodScheduled") is None:
            findings += [
                bad("fargate-scheduler has written nothing on this pod"),
                remedy("see whether it runs: monopod status", 1),
            ]
    else:
        findings.append(plain(f"schedulerName is {snapshot.spec.schedulerName}"))
        if snapshot.annotations.get(keys.COMPUTE_TYPE_KEY) == keys.COMPUTE_TYPE_EC2:
            said = f"annotation {keys.COMPUTE_TYPE_KEY}: {keys.COMPUTE_TYPE_EC2}"
            findings.append(plain(f"{said} keeps it off Fargate, whatever profiles match"))
        choice = matching.natural_choice(snapshot)
        if choice.profile is not None:
            findings.append(
                remedy("delete the pod and let it be created anew, to have it on a microVM")
            )
    return Section(_TITLE, tuple(findings)) if findings else None
