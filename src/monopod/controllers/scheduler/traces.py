"""Sends traces of pods' starts to an OTLP/HTTP receiver.

A start never waits for it: what the receiver does not take in time is dropped and counted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import msgspec
import structlog

from monopod.controllers.scheduler.metrics import TRACES
from monopod.controllers.scheduler.otlp import export_request
from monopod.controllers.scheduler.starts import Start
from monopod.errors import MonopodError
from monopod.util.http_post import (
    AnswerTooLongError,
    NotHttpError,
    PostTimeoutError,
    PostUnreachableError,
    host_of,
    post,
)

_WAITING: Final = 512
"""Traces that wait for their delivery; those beyond are dropped."""
_AT_ONCE: Final = 64
"""Traces of one request."""
_ATTEMPTS: Final = 4
_PAUSE_S: Final = 1.0
"""Before the second attempt; it doubles with each."""
_LONGEST_PAUSE_S: Final = 30.0
_MOST_BYTES: Final = 64 << 10
"""Of an answer."""
_RETRIED: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""OTLP 1.5, "Retryable Response Codes"."""
_EXPORTED: Final = "exported"
_DROPPED: Final = "dropped"
_REFUSED: Final = "refused"
_BAD_ANSWER: Final = "bad_answer"
_UNREACHABLE: Final = "unreachable"
_TIMED_OUT: Final = "timed_out"
_log: Final = structlog.get_logger("traces")


class _PartialSuccess(msgspec.Struct, rename="camel"):
    rejected_spans: int | str = 0
    error_message: str = ""


class _Answer(msgspec.Struct, rename="camel"):
    partial_success: _PartialSuccess | None = None


class _ExportError(MonopodError):
    """The receiver did not accept traces. ``outcome`` is how they are counted."""

    def __init__(
        self, outcome: str, message: str, *, retried: bool = True, after_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.retried = retried
        self.after_s = after_s


class TraceExporter:
    """Queues traces, and sends them in batches."""

    def __init__(
        self,
        url: str,
        cluster: str,
        timeout_s: float,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Describe an exporter; :meth:`run` sends.

        Args:
            url: The receiver's URL, with its path (``/v1/traces``).
            cluster: The cluster's name, in every trace.
            timeout_s: Limit for one attempt in seconds.
            sleep: Waits between attempts.
        """
        self._url = url
        self._host = host_of(url)
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._queue: asyncio.Queue[Start] = asyncio.Queue(_WAITING)
        self._dropping = False

    def offer(self, start: Start) -> None:
        """Queue the trace of a start; drop it if too many wait."""
        try:
            self._queue.put_nowait(start)
        except asyncio.QueueFull:
            TRACES.labels(_DROPPED).inc()
            if not self._dropping:
                _log.warning("traces_dropped", receiver=self._host, waiting=_WAITING)
            self._dropping = True

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _AT_ONCE and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            TRACES.labels(await self._deliver(batch)).inc(len(batch))
            self._dropping = self._dropping and self._queue.full()

    async def _deliver(self, batch: list[Start]) -> str:
        """Send a batch, a few times if necessary; returns what became of it."""
        body = msgspec.json.encode(export_request(batch, self._cluster))
        pause_s = _PAUSE_S
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                await self._send(body)
            except _ExportError as error:
                if not error.retried or not attempts_left:
                    _log.warning(
                        "traces_not_exported",
                        receiver=self._host,
                        traces=len(batch),
                        outcome=error.outcome,
                        why=str(error),
                    )
                    return error.outcome
                await self._sleep(min(max(pause_s, error.after_s), _LONGEST_PAUSE_S))
                pause_s *= 2
            else:
                break
        return _EXPORTED

    async def _send(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        try:
            answer = await post(self._url, body, headers, self._timeout_s, most_bytes=_MOST_BYTES)
        except PostTimeoutError as error:
            raise _ExportError(_TIMED_OUT, str(error)) from None
        except NotHttpError as error:
            raise _ExportError(_BAD_ANSWER, f"it {error}") from error
        except AnswerTooLongError as error:
            raise _ExportError(_BAD_ANSWER, str(error), retried=False) from error
        except PostUnreachableError as error:
            raise _ExportError(_UNREACHABLE, str(error)) from error
        if answer.status != HTTPStatus.OK:
            raise _ExportError(
                _REFUSED,
                f"it answered {answer.status}",
                retried=answer.status in _RETRIED,
                after_s=answer.retry_after_s,
            )
        _check(answer.body)


def _check(said: bytes) -> None:
    """Check the body of a successful answer, which may reject some spans nevertheless."""
    try:
        answer = msgspec.json.decode(said or b"{}", type=_Answer)
        rejected = int(answer.partial_success.rejected_spans) if answer.partial_success else 0
    except (msgspec.DecodeError, ValueError) as error:
        # It has them, or it is no receiver of traces: again would not help.
        raise _ExportError(
            _BAD_ANSWER, f"its answer is not OTLP's: {error}", retried=False
        ) from None
    if rejected and answer.partial_success is not None:
        why = f"it rejected {rejected} spans: {answer.partial_success.error_message[:200]}"
        raise _ExportError(_REFUSED, why, retried=False)
