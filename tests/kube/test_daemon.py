"""Processes, as s6 supervises them."""

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.request
from contextlib import closing
from typing import Any

import pytest

pytestmark = pytest.mark.unit

_PROGRAM = """
import asyncio, structlog, sys
from monopod.kube import serve

log = structlog.get_logger("thing")

async def main(service):
    service.ready()
    service.ready()
    {body}

sys.exit(serve("thing", main, metrics_port={port}))
"""


async def _run(
    body: str,
    *,
    port: int | None = None,
    kill: signal.Signals | None = None,
    level: str | None = None,
) -> tuple[int | None, list[dict[str, Any]], bytes]:
    """Start a process, wait until it is ready, send it a signal; return how it ended."""
    readable, writable = os.pipe()
    environment = {**os.environ, "NOTIFY_FD": str(writable)}
    if level is not None:
        environment["MONOPOD_LOG_LEVEL"] = level
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM.format(body=body, port=port),
        env=environment,
        pass_fds=[writable],
        stdout=asyncio.subprocess.PIPE,
    )
    os.close(writable)
    said = await asyncio.to_thread(os.read, readable, 10)
    metrics = b""
    if port is not None:
        url = f"http://127.0.0.1:{port}/metrics"
        metrics = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())
    if kill is not None:
        child.send_signal(kill)
    out, _ = await asyncio.wait_for(child.communicate(), 20)
    os.close(readable)
    assert said == b"\n"
    return child.returncode, [json.loads(each) for each in out.splitlines()], metrics


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_on_a_signal(how: signal.Signals) -> None:
    status, logs, _ = await _run("await asyncio.Event().wait()", kill=how)
    assert status == 0
    assert logs[-1]["event"] == "stopped"


async def test_metrics_are_served() -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _, _, metrics = await _run("await asyncio.Event().wait()", port=port, kill=signal.SIGTERM)
    assert b"process_cpu_seconds_total" in metrics


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        (None, {"ready", "careful"}),
        ("info", {"ready", "careful"}),
        ("debug", {"ready", "detail", "careful"}),
        ("WARNING", {"careful"}),
    ],
)
async def test_the_log_level_filters_lines(level: str | None, seen: set[str]) -> None:
    body = "log.debug('detail'); log.warning('careful'); raise SystemExit(0)"
    _, logs, _ = await _run(body, level=level)
    assert {each["event"] for each in logs} == seen


async def test_a_failure_is_logged_with_its_exception() -> None:
    status, logs, _ = await _run("raise ValueError('no use')")
    assert status == 1
    assert logs[-1]["event"] == "process_failed"
    assert logs[-1]["exception"][0]["exc_value"] == "no use"


async def test_a_failure_during_shutdown_is_logged() -> None:
    body = "try: await asyncio.Event().wait()\n    finally: raise ValueError('stuck')"
    status, logs, _ = await _run(body, kill=signal.SIGTERM)
    assert status == 1
    assert logs[-1]["event"] == "shutdown_failed"


async def test_a_main_that_returns_is_a_failure() -> None:
    status, logs, _ = await _run("pass")
    assert status == 1
    assert logs[-1]["event"] == "process_returned"
