"""Why a pod is where it is: profiles, size, subnet, machine, the last refusal and the way out.

``gather`` reads one frozen snapshot from the API server; everything else is a function of it.
"""

from monopod.explain.explanation import explain
from monopod.explain.findings import Explanation, Finding, Mark, Section
from monopod.explain.gather import ExplainError, UnknownPodError, gather
from monopod.explain.render import render
from monopod.explain.snapshot import Snapshot, Warned

__all__ = [
    "ExplainError",
    "Explanation",
    "Finding",
    "Mark",
    "Section",
    "Snapshot",
    "UnknownPodError",
    "Warned",
    "explain",
    "gather",
    "render",
]
