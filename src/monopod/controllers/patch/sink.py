"""The HTTP sink of notices."""

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from monopod.controllers.patch.notice import CONTENT_TYPE
from monopod.errors import MonopodError
from monopod.util.http_post import (
    NotHttpError,
    PostTimeoutError,
    PostUnreachableError,
    host_of,
    post,
)

REFUSED: Final = "SinkRefused"
UNREACHABLE: Final = "SinkUnreachable"
TIMED_OUT: Final = "SinkTimedOut"
BAD_ANSWER: Final = "SinkBadAnswer"
BAD_TOKEN: Final = "SinkTokenUnreadable"  # noqa: S105 - a reason


class SinkError(MonopodError):
    """The sink did not accept a notice. ``reason`` is a word for programs."""

    def __init__(self, reason: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class Sink(Protocol):
    """Receives notices."""

    async def send(self, event: dict[str, Any]) -> None:
        """Deliver a CloudEvent.

        Raises:
            SinkError: It was not accepted.
        """
        ...


class HttpSink:
    """Sends CloudEvents by HTTP POST in structured mode."""

    def __init__(self, url: str, token_file: Path | None, timeout_s: float) -> None:
        """Describe a sink; each delivery opens a connection.

        Args:
            url: Where to send to.
            token_file: File with a bearer token, read at each delivery; None means no token.
            timeout_s: Limit for one delivery in seconds.
        """
        self._url = url
        self._host = host_of(url)
        self._token_file = token_file
        self._timeout_s = timeout_s

    async def send(self, event: dict[str, Any]) -> None:
        """Deliver a CloudEvent; every answer 2xx accepts it, and its body is not read.

        Raises:
            SinkError: It was not accepted.
        """
        headers = {"Content-Type": CONTENT_TYPE, **await asyncio.to_thread(self._authorization)}
        body = msgspec.json.encode(event)
        try:
            answer = await post(self._url, body, headers, self._timeout_s)
        except PostTimeoutError:
            why = f"{self._host} did not answer within {self._timeout_s:g} s"
            raise SinkError(TIMED_OUT, why) from None
        except NotHttpError as error:
            raise SinkError(BAD_ANSWER, f"{self._host} {error}") from error
        except PostUnreachableError as error:
            why = f"{self._host} cannot be reached: {error}"
            raise SinkError(UNREACHABLE, why) from error
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise SinkError(REFUSED, f"{self._host} answered {answer.status}", answer.retry_after_s)

    def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SinkError(BAD_TOKEN, f"the sink's token cannot be read: {error}") from error
        return {"Authorization": f"Bearer {token}"}
