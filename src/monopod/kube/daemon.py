"""Main function of every long-running Monopod process.

It logs JSON lines to standard output, stops cleanly on SIGTERM, notifies s6 of readiness, and
serves metrics, by default on the loopback of its network namespace.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import structlog
from prometheus_client import start_http_server

from monopod.settings import LogLevel, Settings

NOTIFY_FD_VARIABLE: Final = "NOTIFY_FD"
"""Environment variable with the descriptor for s6's readiness notification."""
_METRICS_ADDRESS: Final = "127.0.0.1"
_log: Final = structlog.get_logger("service")


class Daemon:
    """The process, as its main coroutine sees it."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self._notify_fd = environment.get(NOTIFY_FD_VARIABLE)

    def ready(self) -> None:
        """Report readiness, once."""
        _log.info("ready", service=self.name)
        if self._notify_fd is None:
            return
        descriptor = int(self._notify_fd)
        self._notify_fd = None
        os.write(descriptor, b"\n")
        os.close(descriptor)


Main = Callable[[Daemon], Coroutine[Any, Any, None]]
"""Runs until cancelled; returning or raising ends the process with a failure."""


def configure_logging(name: str, level: LogLevel = "info") -> None:
    """Log JSON lines to standard output: ``at``, ``level``, ``service``, ``event``, fields."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=name)
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, force=True)


def serve(
    name: str,
    main: Main,
    *,
    metrics_port: int | None = None,
    metrics_address: str = _METRICS_ADDRESS,
) -> int:
    """Run a process of Monopod to its end and return its exit status.

    Args:
        name: Name in logs.
        main: The main coroutine; cancelled on SIGTERM or SIGINT, and awaited.
        metrics_port: Port for Prometheus; None means no metrics.
        metrics_address: The address of that port.

    Raises:
        ValidationError: A setting, such as ``MONOPOD_LOG_LEVEL``, has an invalid value.
    """
    configure_logging(name, Settings().log_level)
    place = None if metrics_port is None else (metrics_address, metrics_port)
    return asyncio.run(_serve(Daemon(name, os.environ), main, place))


async def _serve(service: Daemon, main: Main, metrics_at: tuple[str, int] | None) -> int:
    metrics = None
    if metrics_at is not None:
        address, port = metrics_at
        metrics, _ = start_http_server(port, addr=address)
    work = asyncio.ensure_future(main(service))
    stopping = False

    def stop() -> None:
        nonlocal stopping
        stopping = True
        work.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await work
    except asyncio.CancelledError:
        if not stopping:
            raise
    except Exception:
        _log.exception("shutdown_failed" if stopping else "process_failed")
        return 1
    finally:
        if metrics is not None:
            metrics.shutdown()
            metrics.server_close()
    if stopping:
        _log.info("stopped")
        return 0
    _log.error("process_returned")
    return 1
