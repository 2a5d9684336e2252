"""Reasons of the sidecar controllers' events."""

from typing import Final

COMPONENT: Final = "monopod-sidecars"
INJECTED: Final = "SidecarsInjected"
LEFT_OUT: Final = "SidecarsLeftOut"
"""On pods."""
MADE: Final = "SidecarInjectionMade"
REFUSED: Final = "SidecarInjectionRefused"
"""On DaemonSets."""
