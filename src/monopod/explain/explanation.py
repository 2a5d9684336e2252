"""Turns a snapshot into its explanation."""

from typing import Final

from monopod.api import conditions, constants, keys
from monopod.api.resources import MicroVM
from monopod.explain import machine, matching, phases, placement, refusal, size
from monopod.explain.findings import Explanation, Finding, Section, bad, plain, remedy
from monopod.explain.snapshot import Snapshot
from monopod.fargate.profiles import Outcome
from monopod.kube import meta, name_of

_TITLE: Final = "Scheduler"
_PENDING_STEPS: Final = (
    ("Ready", "its node is ready, the pod is about to be bound"),
    ("Registered", "its kubelet has registered and is getting ready"),
    ("Launched", "it is booting"),
    ("Addressed", "it is about to be launched"),
)


def explain(snapshot: Snapshot) -> Explanation:
    """Explain where a pod runs, or why it does not."""
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
    if snapshot.status.phase in constants.FINISHED_PHASES:
        status = snapshot.status
        why = ": ".join(part for part in (status.reason, status.message) if part)
        return "It has ended." + (f" {why}." if why else "")
    if snapshot.on_fargate:
        return _on_fargate(snapshot)
    where = (
        f"It is on the worker node {snapshot.bound_to}"
        if snapshot.bound_to
        else "It waits for a worker node"
    )
    return f"{where}, not on a microVM: {_why_ordinary(snapshot)}"


def _on_fargate(snapshot: Snapshot) -> str:
    if snapshot.bound_to:
        name = name_of(snapshot.machine) if snapshot.machine else None
        return f"It has its own microVM{f', {name}' if name else ''}, which is its node."
    if snapshot.spec.schedulingGates:
        return "It waits for its scheduling gates to be removed."
    refused = refusal.refusal(snapshot)
    if refused is not None:
        return f"It cannot start: {refused[1].rstrip('.')}."
    if snapshot.machine is not None:
        name = name_of(snapshot.machine)
        return f"Its microVM {name} is starting: {_progress(snapshot.machine)}."
    return "fargate-scheduler has not processed it yet."


def _progress(found: MicroVM) -> str:
    for kind, words in _PENDING_STEPS:
        if conditions.is_true(found.status_or_empty.conditions, kind):
            return words
    return "it has been created"


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
        f" schedulerName {snapshot.spec.schedulerName}: it requested that, or Monopod's webhook"
        " did not answer when it was created."
    )


def _scheduler(snapshot: Snapshot) -> Section | None:
    """Describe which scheduler the pod's own fields choose."""
    findings: list[Finding] = []
    if snapshot.on_fargate:
        # A pod of RuntimeClass monopod waits for a profile without one.
        waits = snapshot.spec.runtimeClassName == keys.RUNTIME_CLASS
        if keys.PROFILE_LABEL not in snapshot.labels and not waits:
            findings += [
                bad(
                    f"schedulerName is {keys.SCHEDULER_NAME}, but there is no label"
                    f" {keys.PROFILE_LABEL}: the webhook has not mutated this pod"
                )
            ]
        if not snapshot.bound_to and snapshot.condition("PodScheduled") is None:
            findings += [
                bad("fargate-scheduler has not written a condition on this pod"),
                remedy("check whether it runs: monopod status", 1),
            ]
    else:
        findings.append(plain(f"schedulerName is {snapshot.spec.schedulerName}"))
        if snapshot.annotations.get(keys.COMPUTE_TYPE_KEY) == keys.COMPUTE_TYPE_EC2:
            said = f"annotation {keys.COMPUTE_TYPE_KEY}: {keys.COMPUTE_TYPE_EC2}"
            findings.append(plain(f"{said} keeps it off Fargate, whichever profiles match"))
        choice = matching.natural_choice(snapshot)
        if choice.profile is not None:
            findings.append(remedy("delete the pod and create it again, to run it on a microVM"))
    return Section(_TITLE, tuple(findings)) if findings else None
