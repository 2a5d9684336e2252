"""The HTTP sink of notices."""

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx2
import msgspec

from monopod.controllers.patch.notice import CONTENT_TYPE
from monopod.errors import MonopodError

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
        # Paths and queries of webhooks can be secrets.
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        self._token_file = token_file
        self._timeout_s = timeout_s

    async def send(self, event: dict[str, Any]) -> None:
        """Deliver a CloudEvent; every answer 2xx accepts it, and its body is not read.

        Raises:
            SinkError: It was not accepted.
        """
        headers = {"Content-Type": CONTENT_TYPE, **await asyncio.to_thread(self._authorization)}
        try:
            # The client's own limits start again with every byte of an answer.
            async with asyncio.timeout(self._timeout_s):
                status, after = await self._post(headers, msgspec.json.encode(event))
        except TimeoutError:
            why = f"{self._host} did not answer within {self._timeout_s:g} s"
            raise SinkError(TIMED_OUT, why) from None
        except (httpx2.ProtocolError, httpx2.DecodingError) as error:
            raise SinkError(BAD_ANSWER, f"{self._host} does not answer as HTTP: {error}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            said = str(error) or type(error).__name__
            raise SinkError(UNREACHABLE, f"{self._host} cannot be reached: {said}") from error
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise SinkError(REFUSED, f"{self._host} answered {status}", after)

    async def _post(self, headers: dict[str, str], body: bytes) -> tuple[int, float]:
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=self._timeout_s) as http,
            http.stream("POST", self._url, content=body, headers=headers) as answer,
        ):
            return answer.status_code, _seconds(answer.headers.get("Retry-After", ""))

    def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SinkError(BAD_TOKEN, f"the sink's token cannot be read: {error}") from error
        return {"Authorization": f"Bearer {token}"}


def _seconds(header: str) -> float:
    return float(header) if header.isascii() and header.isdecimal() and len(header) < 6 else 0.0
