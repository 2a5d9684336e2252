"""One load on one address, made by a pod that is told to by way of the API server."""

from dataclasses import dataclass
from typing import Final

import msgspec

from monopod.bench.errors import BenchError
from monopod.bench.network.image import PORT
from monopod.kube import Client, KubeError

RESOLUTION_S: Final = 0.00001
"""Of the histogram that percentiles come from."""
_OK: Final = "200"
_NS: Final = 1e9


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one."""

    per_second: float
    """Answers that were as they should be."""
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
    """What of Fortio's result counts here."""

    actual_duration: int
    """Nanoseconds."""
    duration_histogram: _Histogram
    ret_codes: dict[str, int]


def parse(result: bytes) -> Load:
    """Read Fortio's result.

    Raises:
        BenchError: It is none, or one without percentiles.
    """
    try:
        found = msgspec.json.decode(result, type=_Result)
    except msgspec.DecodeError as error:
        raise BenchError(f"Fortio's answer makes no sense: {error}") from error
    at = {each.percentile: each.value for each in found.duration_histogram.percentiles or ()}
    if not {50, 99} <= at.keys() or found.actual_duration <= 0:
        raise BenchError("Fortio measured nothing")
    count = sum(found.ret_codes.values())
    good = found.ret_codes.get(_OK, 0)
    seconds = found.actual_duration / _NS
    return Load(good / seconds, at[50], at[99], count, count - good)


class Loader:
    """A pod that makes requests.

    Args:
        client: May reach pods through the API server.
        namespace: Of the pod.
        pod: Its name.
    """

    def __init__(self, client: Client, namespace: str, pod: str) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod}:{PORT}/proxy/fortio/rest/run"

    async def run(self, url: str, *, connections: int, seconds: int) -> Load:
        """Make requests for some seconds, on each connection the next as soon as one is answered.

        Raises:
            BenchError: The address does not answer at all.
        """
        return await self._run(url, c=str(connections), t=f"{seconds}s")

    async def answers(self, url: str) -> bool:
        """Say whether a few requests one after the other are all answered."""
        try:
            return not (await self._run(url, c="1", n="5")).failed
        except BenchError:
            return False

    async def _run(self, url: str, **how: str) -> Load:
        query = {"url": url, "qps": "-1", "p": "50,99", "r": f"{RESOLUTION_S:f}", **how}
        try:
            return parse(await self._client.raw(self._path, query))
        except KubeError as error:
            raise BenchError(f"{url} cannot be loaded: {error}") from error
