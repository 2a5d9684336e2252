"""What kubelets probe, on the port of the metrics."""

import urllib.error
import urllib.request
from contextlib import closing

import pytest

from monopod.kube.metrics_server import MetricsServer

pytestmark = pytest.mark.unit


def answer(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_process_is_healthy_before_it_is_ready() -> None:
    ready = False
    with closing(MetricsServer("127.0.0.1", 0, lambda: ready)) as server:
        assert answer(server.port, "/healthz") == (200, b"ok\n")
        assert answer(server.port, "/readyz") == (503, b"not ready\n")
        ready = True
        assert answer(server.port, "/readyz") == (200, b"ok\n")
        status, metrics = answer(server.port, "/metrics")
        assert status == 200
        assert b"process_cpu_seconds_total" in metrics
