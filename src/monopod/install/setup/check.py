"""``python -m monopod.install.setup.check``: fails while machines exist.

Helm runs it before it removes a release: without controllers, machines would run on, and their
nodes and pods would stay.
"""

import asyncio
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from monopod.api.resources import MicroVM
from monopod.kube import connect
from monopod.settings import Settings

_NAME: Final = "monopod-setup"


def pods_of(machines: Iterable[MicroVM]) -> list[str]:
    """Return the pods of machines, as ``namespace/name``."""
    return sorted(f"{each.spec.podRef.namespace}/{each.spec.podRef.name}" for each in machines)


def refusal(machines: Sequence[MicroVM]) -> str | None:
    """Return why a release must stay. None means that it may go."""
    if not machines:
        return None
    return f"pods run on Fargate: {', '.join(pods_of(machines))}; delete their profiles first"


async def _main() -> str | None:
    kubeconfig = Settings().identities / "setup" / "kubeconfig"
    async with connect(kubeconfig, _NAME) as client:
        return refusal((await client.list(MicroVM)).items)


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
