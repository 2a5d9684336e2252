"""Posts to receivers that may refuse, hang or answer garbage: webhooks of users' own."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from monopod.errors import MonopodError


class PostError(MonopodError):
    """A receiver did not answer a request. The message does not name it."""


class PostTimeoutError(PostError):
    """It did not answer in time."""


class PostUnreachableError(PostError):
    """It cannot be reached."""


class NotHttpError(PostError):
    """It does not answer as HTTP. The message lacks its subject, the receiver."""


class AnswerTooLongError(PostError):
    """Its answer is longer than allowed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered."""

    status: int
    retry_after_s: float
    """Seconds by its header ``Retry-After``; 0 without one."""
    body: bytes
    """Empty if it was not to be read."""


def host_of(url: str) -> str:
    """Return the part of a URL that may be shown: paths, queries and users can be secrets."""
    return urlsplit(url).netloc.rpartition("@")[2]


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout_s: float,
    *,
    most_bytes: int | None = None,
) -> Answer:
    """Post a body on a new connection.

    Args:
        url: Where to.
        body: The body.
        headers: Its headers.
        timeout_s: Limit for everything, in seconds.
        most_bytes: Most bytes of the answer's body. None means that it is not read.

    Raises:
        PostTimeoutError: There was no whole answer in time.
        PostUnreachableError: The receiver cannot be reached.
        NotHttpError: It does not answer as HTTP.
        AnswerTooLongError: It answers with too many bytes.
    """
    said = bytearray()
    try:
        # The client's own limits start again with every byte of an answer.
        async with (
            asyncio.timeout(timeout_s),
            httpx2.AsyncClient(trust_env=False, timeout=timeout_s) as http,
            http.stream("POST", url, content=body, headers=dict(headers)) as answer,
        ):
            if most_bytes is not None:
                async for part in answer.aiter_bytes():
                    said += part
                    if len(said) > most_bytes:
                        raise AnswerTooLongError("its answer is too long")
    except TimeoutError:
        raise PostTimeoutError(f"no answer within {timeout_s:g} s") from None
    except (httpx2.ProtocolError, httpx2.DecodingError) as error:
        raise NotHttpError(f"does not answer as HTTP: {error}") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise PostUnreachableError(str(error) or type(error).__name__) from error
    after_s = _seconds(answer.headers.get("Retry-After", ""))
    return Answer(answer.status_code, after_s, bytes(said))


def _seconds(header: str) -> float:
    return float(header) if header.isascii() and header.isdecimal() and len(header) < 6 else 0.0
