"""The way to ``nft``: commands in, one transaction each, in a given namespace."""

import json
from collections.abc import Sequence

from monopod import process
from monopod.network.errors import NetworkError
from monopod.network.namespaces import Namespace
from monopod.network.nft import Json

_TIMEOUT_S = 30


class Firewall:
    """nftables of one network namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    async def apply(self, commands: Sequence[Json]) -> None:
        """Carry out all commands, or none.

        Raises:
            NetworkError: They were refused; holds what ``nft`` said.
        """
        await self._nft("-f", "-", stdin=json.dumps({"nftables": commands}).encode())

    async def counters(self, table: str) -> dict[str, int]:
        """Packets counted so far by each named counter of a table; empty if there is none."""
        try:
            said = await self._nft("list", "counters", "table", "inet", table)
        except NetworkError:
            if not await self.has_table(table):
                return {}
            raise
        found = (each["counter"] for each in json.loads(said)["nftables"] if "counter" in each)
        return {each["name"]: each["packets"] for each in found}

    async def has_table(self, name: str) -> bool:
        """Whether there is such a table."""
        said = json.loads(await self._nft("list", "tables"))["nftables"]
        return any(each.get("table", {}).get("name") == name for each in said)

    async def _nft(self, *words: str, stdin: bytes | None = None) -> str:
        try:
            return await process.run(
                "nsenter",
                f"--net={self._namespace.path}",
                "nft",
                "-j",
                *words,
                stdin=stdin,
                timeout_s=_TIMEOUT_S,
            )
        except process.ProcessError as error:
            raise NetworkError(str(error)) from error
