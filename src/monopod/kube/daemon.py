"""Main function of every long-running Monopod process.

It logs JSON lines to standard output, stops cleanly on SIGTERM, notifies s6 of readiness, and
serves metrics, by default on the loopback of its network namespace. Kubelets probe ``/healthz`` and
``/readyz`` of the same port.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import structlog

from monopod.kube.metrics_server import MetricsServer
from monopod.settings import LogLevel, Settings

NOTIFY_FD_VARIABLE: Final = "NOTIFY_FD"
"""Environment variable with the descriptor for s6's readiness notification."""
_log: Final = structlog.get_logger("service")


class Daemon:
    """The process, as its main coroutine sees it."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.is_ready = False
        self._notify_fd = environment.get(NOTIFY_FD_VARIABLE)

    def ready(self) -> None:
        """Report readiness, once."""
        _log.info("ready", service=self.name)
        self.is_ready = True
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
    metrics_address: str | None = None,
) -> int:
    """Run a process of Monopod to its end and return its exit status.

    Args:
        name: Name in logs.
        main: The main coroutine; cancelled on SIGTERM or SIGINT, and awaited.
        metrics_port: Port for Prometheus; None means no metrics.
        metrics_address: The address of that port; None means ``MONOPOD_METRICS_ADDRESS``.

    Raises:
        ValidationError: A setting, such as ``MONOPOD_LOG_LEVEL``, has an invalid value.
    """
    settings = Settings()
    configure_logging(name, settings.log_level)
    address = metrics_address or settings.metrics_address
    place = None if metrics_port is None else (address, metrics_port)
    return asyncio.run(_serve(Daemon(name, os.environ), main, place))


async def _serve(service: Daemon, main: Main, metrics_at: tuple[str, int] | None) -> int:
    metrics = None
    if metrics_at is not None:
        metrics = MetricsServer(*metrics_at, lambda: service.is_ready)
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
            metrics.close()
    if stopping:
        _log.info("stopped")
        return 0
    _log.error("process_returned")
    return 1
