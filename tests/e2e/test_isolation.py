"""A machine at full load does not increase another machine's latency."""

import re
import statistics
import time
from collections.abc import Callable

import pytest

from tests.e2e.cluster import Namespace, pod
from tests.framework.eventually import eventually

pytestmark = pytest.mark.e2e

_REQUESTS = 60


async def _latencies_ms(namespace: Namespace, url: str) -> list[float]:
    """Latency of requests made by a pod, one after another, in milliseconds."""
    script = (
        f"for i in $(seq {_REQUESTS}); do"
        f" a=$(cut -d' ' -f1 /proc/uptime); wget -q -O /dev/null {url} || exit 1;"
        " b=$(cut -d' ' -f1 /proc/uptime); echo $a $b; done"
    )
    said = await namespace.kubectl("exec", "client", "--", "sh", "-c", script, timeout_s=240)
    return [
        1000 * (float(after) - float(before))
        for before, after in re.findall(r"([\d.]+) ([\d.]+)", said)
    ]


@pytest.mark.row("S5")
async def test_noisy_neighbours_do_not_increase_latency(
    namespace: Namespace, image: str, record_property: Callable[[str, object], None]
) -> None:
    await namespace.apply(
        pod("server", image, "mkdir /www; echo hi > /www/index.html; httpd -f -p 8080 -h /www"),
        pod("client", image),
        pod(
            "hog",
            image,
            "until [ -e /tmp/go ]; do sleep 1; done; probe spin 4 & exec probe hold 180",
        ),
    )
    await namespace.ready("server", "client", "hog", timeout_s=240)
    address = (await namespace.get("pod", "server"))["status"]["podIP"]
    url = f"http://{address}:8080/"
    # Its container runs before the program in it listens.
    await eventually(lambda: namespace.reaches("client", url), "the server answers", every_s=0.2)
    quiet = await _latencies_ms(namespace, url)
    await namespace.sh("hog", "touch /tmp/go")
    began = time.monotonic()
    loud = await _latencies_ms(namespace, url)
    figures = {
        "quiet_p50_ms": statistics.median(quiet),
        "quiet_p95_ms": statistics.quantiles(quiet, n=20)[-1],
        "hogged_p50_ms": statistics.median(loud),
        "hogged_p95_ms": statistics.quantiles(loud, n=20)[-1],
        "took_s": time.monotonic() - began,
    }
    for name, value in figures.items():
        record_property(name, round(value, 1))
    print(figures)
    assert len(loud) == _REQUESTS
    assert figures["hogged_p50_ms"] < 3 * figures["quiet_p50_ms"] + 50, figures
