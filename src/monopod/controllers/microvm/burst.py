"""Decides when a machine may use more CPU than provisioned. Pure."""

from datetime import datetime, timedelta
from typing import Final

from monopod.controllers.microvm.actions import Action, EndBootBurst, Requeue, ResumeBurst
from monopod.controllers.microvm.state import PodState, State

BURST_S: Final = 30.0
"""How long a pod whose init containers run may use more CPU than provisioned, and how long a
machine may after its pod's grace period ended."""


def burst_action(state: State) -> Action | None:
    """Return the action that ends or resumes a machine's burst; None if there is none."""
    pod = state.pod
    if pod is None:
        return None
    if pod.deadline is not None and (action := _teardown(state, pod, pod.deadline)):
        return action
    if state.burst_ended:
        return None
    if pod.started or pod.finished:
        return EndBootBurst()
    if pod.first_ran is None:
        return None
    # User code runs. Init containers that never end must not use CPU that is not provisioned.
    until = pod.first_ran + timedelta(seconds=BURST_S)
    return EndBootBurst() if state.now >= until else Requeue("for its pod to start", until)


def _teardown(state: State, pod: PodState, deadline: datetime) -> Action | None:
    """Return the next action for a pod that is being deleted; None if there is none.

    No user process outlives the grace period; the teardown after it is the platform's own work,
    which takes twice as long when limited to a quarter of a processor. The burst ends after
    ``BURST_S``, since a guest whose kubelet never finishes must not use a whole processor for good.
    """
    until = deadline + timedelta(seconds=BURST_S)
    if state.now >= until:
        return None
    if state.now >= deadline or pod.finished:
        return ResumeBurst() if state.burst_ended else Requeue("for its pod's teardown", until)
    return Requeue("for its pod's grace period to end", deadline) if state.burst_ended else None
