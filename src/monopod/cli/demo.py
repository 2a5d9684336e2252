"""The demo: three pods, three machines, three kernels."""

from monopod.cli.screen import Screen
from monopod.cluster.plane import ControlPlane
from monopod.settings import Settings


async def run(settings: Settings, plane: ControlPlane, screen: Screen) -> None:
    """Run the demo workload and show what became of it."""
