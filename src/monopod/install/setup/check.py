"""``python -m monopod.install.setup.check``: fails while machines exist.

Helm runs it before it removes a release: without controllers, machines would run on, and their
nodes and pods would stay.
"""

import asyncio
import sys
from collections.abc import Iterable
from typing import Final

from monopod.api.resources import MicroVM
from monopod.kube import connect
from monopod.settings import Settings

_NAME: Final = "monopod-setup"


def pods_of(machines: Iterable[MicroVM]) -> list[str]:
    """Return the pods of machines, as ``namespace/name``."""
    return sorted(f"{each.spec.podRef.namespace}/{each.spec.podRef.name}" for each in machines)


async def _main() -> str:
    kubeconfig = Settings().identities / "setup" / "kubeconfig"
    async with connect(kubeconfig, _NAME) as client:
        machines = (await client.list(MicroVM)).items
    pods = pods_of(machines)
    return f"pods run on Fargate: {', '.join(pods)}; delete their profiles first" if pods else ""


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
