"""Serves a process's metrics, and to kubelets whether it lives and is ready, in threads."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

_HEALTH: Final = "/healthz"
_READINESS: Final = "/readyz"


class MetricsServer:
    """Serves ``/healthz``, ``/readyz`` and, on every other path, the metrics."""

    def __init__(self, address: str, port: int, ready: Callable[[], bool]) -> None:
        """Start to serve.

        Args:
            address: The address to listen on.
            port: The port to listen on; 0 picks a free one.
            ready: Returns whether the process is ready.

        Raises:
            OSError: The port is taken.
        """
        metrics = make_wsgi_app()

        def answer(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            path = environment.get("PATH_INFO")
            # The server adds headers to this list.
            text = [("Content-Type", "text/plain")]
            if path == _HEALTH or (path == _READINESS and ready()):
                start("200 OK", text)
                return (b"ok\n",)
            if path == _READINESS:
                start("503 Service Unavailable", text)
                return (b"not ready\n",)
            return metrics(environment, start)

        self._server = make_server(
            address, port, answer, ThreadingWSGIServer, handler_class=_SilentHandler
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.server_port

    def close(self) -> None:
        """Stop to serve."""
        self._server.shutdown()
        self._server.server_close()


class _SilentHandler(WSGIRequestHandler):
    """Writes no line for each request: processes log JSON."""

    def log_message(self, format: str, *args: object) -> None:
        del format, args
