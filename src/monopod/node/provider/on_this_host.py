"""What every provider has in common whose machines run on this host."""

import asyncio
from collections.abc import AsyncIterator

from monopod.kube import Client
from monopod.node.provider import PlacementRequest


class OnThisHost:
    """Machines that need no place: they are in this host's own network, and end when it says so."""

    remote = False

    def use(self, client: Client) -> None:
        """Do nothing: machines of this host are no objects."""

    async def place(self, wanted: PlacementRequest) -> None:
        """Leave addresses to the caller."""

    async def placed(self) -> AsyncIterator[str]:
        """Yield nothing, ever."""
        await asyncio.Event().wait()
        yield ""

    def host(self, name: str) -> str:
        """Return nothing: every machine runs on this host."""
        del name
        return ""
