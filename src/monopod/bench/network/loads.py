"""Generates load on one address, from a pod that is controlled through the API server."""

from dataclasses import dataclass
from typing import Final

import msgspec

from monopod.bench.errors import BenchError
from monopod.bench.network.image import PORT
from monopod.kube import Client, KubeError

RESOLUTION_S: Final = 0.00001
"""Resolution of the histogram that percentiles come from, in seconds."""
_OK: Final = "200"
_NS: Final = 1e9


@dataclass(frozen=True, slots=True)
class Load:
    """The result of one load."""

    per_second: float
    """Successful answers."""
    p50_s: float
    p99_s: float
    count: int
    failed: int


class _Percentile(msgspec.Struct, rename="pascal"):
    percentile: float
    value: float


class _Histogram(msgspec.Struct, rename="pascal"):
    percentiles: list[_Percentile] | None = None


class _Result(msgspec.Struct, rename="pascal"):
    """The part of Fortio's result that is used."""

    actual_duration: int
    """Nanoseconds."""
    duration_histogram: _Histogram
    ret_codes: dict[str, int]


def parse(result: bytes) -> Load:
    """Decode Fortio's result.

    Raises:
        BenchError: The result is malformed, or has no percentiles.
    """
    try:
        found = msgspec.json.decode(result, type=_Result)
    except msgspec.DecodeError as error:
        raise BenchError(f"Fortio's result cannot be decoded: {error}") from error
    at = {each.percentile: each.value for each in found.duration_histogram.percentiles or ()}
    if not {50, 99} <= at.keys() or found.actual_duration <= 0:
        raise BenchError("Fortio's result contains no measurement")
    count = sum(found.ret_codes.values())
    good = found.ret_codes.get(_OK, 0)
    seconds = found.actual_duration / _NS
    return Load(good / seconds, at[50], at[99], count, count - good)


class Loader:
    """A pod that generates load.

    Args:
        client: Reaches pods through the API server.
        namespace: The pod's namespace.
        pod: The pod's name.
    """

    def __init__(self, client: Client, namespace: str, pod: str) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod}:{PORT}/proxy/fortio/rest/run"

    async def run(self, url: str, *, connections: int, seconds: int, rate: int = -1) -> Load:
        """Send requests for some seconds, back to back on each connection, or at a rate.

        Args:
            url: The address.
            connections: Concurrent connections.
            seconds: Duration.
            rate: Requests per second of all connections. -1 means back to back.

        Raises:
            BenchError: The address does not answer at all.
        """
        return await self._run(url, c=str(connections), t=f"{seconds}s", qps=str(rate))

    async def answers(self, url: str) -> bool:
        """Return whether a few consecutive requests all succeed."""
        try:
            return not (await self._run(url, c="1", n="5")).failed
        except BenchError:
            return False

    async def _run(self, url: str, **how: str) -> Load:
        query = {"url": url, "qps": "-1", "p": "50,99", "r": f"{RESOLUTION_S:f}", **how}
        try:
            return parse(await self._client.raw(self._path, query))
        except KubeError as error:
            raise BenchError(f"cannot generate load on {url}: {error}") from error
