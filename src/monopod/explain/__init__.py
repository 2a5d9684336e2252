"""Explains where a pod runs or why it does not: profiles, size, subnet, machine and remedies.

``gather`` reads one immutable snapshot from the API server; everything else is a function of it.
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
