"""Calls registries with the credentials of execution roles.

Streams with aiohttp, since every byte of an image passes here, and since its connector resolves
names by a resolver of ours. Redirects are followed here: a guest never sees the address of a
registry's store, whose URL may carry a signature.
"""

import ssl
import time
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from monopod.identity.pull_grant import RegistryCredential
from monopod.pullproxy.challenge import Challenge, read_challenge
from monopod.pullproxy.reach import NEVER, GuardedResolver, may_call, resolve
from monopod.pullproxy.request import PullRequest, RefusedError, denied

_CONNECT_S: Final = 10.0
_BUFFER: Final = 1 << 18
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_MOST_REDIRECTS: Final = 5
_MOST_TOKEN_BYTES: Final = 1 << 20
_BASIC_S: Final = 300.0
_TOKEN_S: Final = 60.0
"""Lifetime of a token that does not say it, by the specification."""
_LONGEST_S: Final = 3600.0
_EARLY_S: Final = 10.0
_MOST_KNOWN: Final = 4096
_USER_AGENT: Final = "monopod-pullproxy"


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float = _TOKEN_S


@dataclass(frozen=True, slots=True)
class _Key:
    """What an Authorization header is for."""

    registry: str
    repository: str
    credential: RegistryCredential


class _Authorizations:
    """Authorization headers until they expire. Cache only: without it each pull asks again."""

    def __init__(self) -> None:
        self._known: dict[_Key, tuple[str, float]] = {}

    def find(self, key: _Key) -> str:
        value, until = self._known.get(key, ("", 0.0))
        return value if time.monotonic() < until else ""

    def keep(self, key: _Key, value: str, lifetime_s: float) -> None:
        self._known.pop(key, None)
        if len(self._known) >= _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[key] = value, time.monotonic() + lifetime_s - _EARLY_S

    def forget(self, key: _Key) -> None:
        self._known.pop(key, None)


class Upstream:
    """A client of all registries."""

    def __init__(
        self, authorities: Path, stalled_s: float, never: Sequence[IPv4Network] = NEVER
    ) -> None:
        """Describe a client; :meth:`opened` opens it.

        Args:
            authorities: PEM of the public authorities, if the file exists.
            stalled_s: Limit in seconds without progress.
            never: Networks that are never called.
        """
        self._never = never
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=2 * _CONNECT_S, sock_connect=_CONNECT_S, sock_read=stalled_s
        )
        self._authorizations = _Authorizations()
        self._public = authorities if authorities.exists() else None
        self._trust = lru_cache(maxsize=256)(self._new_trust)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        """By whether only public addresses may be called."""

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator["Upstream"]:
        """Open the client until the context is left."""
        try:
            for public in (False, True):
                self._sessions[public] = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        resolver=GuardedResolver(public=public, never=self._never),
                        limit=0,
                        use_dns_cache=False,
                    ),
                    timeout=self._timeout,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    # Blobs pass as they are, and a guest verifies their digests.
                    auto_decompress=False,
                    read_bufsize=_BUFFER,
                    headers={"User-Agent": _USER_AGENT},
                )
            yield self
        finally:
            for session in self._sessions.values():
                await session.close()
            self._sessions.clear()

    @asynccontextmanager
    async def pull(
        self,
        method: str,
        wanted: PullRequest,
        credential: RegistryCredential,
        authority: str,
        headers: Mapping[str, str],
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Request a manifest or blob; the answer has any status but a redirect.

        Args:
            method: ``GET`` or ``HEAD``.
            wanted: What to request.
            credential: Given to the registry, or to the token service that it names.
            authority: PEM of the registry's private authority, or empty.
            headers: Further headers of the request.

        Raises:
            RefusedError: The registry cannot be called, or must not be.
        """
        call = _Call(wanted, credential, self._trust(authority))
        try:
            answer = await self._authorized(method, call, headers)
            try:
                yield answer
            finally:
                # A body that was not read to its end must not be mistaken for the next answer.
                if answer.content.at_eof():
                    answer.release()
                else:
                    answer.close()
        except aiohttp.ClientConnectorCertificateError as error:
            raise denied(
                f"the certificate of {error.host} cannot be verified: name its authority in the"
                f" execution role's registryAuthorities ({error.certificate_error})"
            ) from error
        except aiohttp.ClientConnectorDNSError as error:
            raise denied(
                f"{wanted.registry} cannot be called: {error.host}: {error.os_error.strerror}"
            ) from error
        except aiohttp.InvalidURL as error:
            raise denied(f"{wanted.registry} refers to a URL that cannot be read") from error
        except TimeoutError as error:
            raise RefusedError(504, "UNAVAILABLE", f"{wanted.registry} does not answer") from error
        except (aiohttp.ClientError, OSError) as error:
            message = f"{wanted.registry} cannot be reached: {error}"
            raise RefusedError(502, "UNAVAILABLE", message) from error

    async def _authorized(
        self, method: str, call: "_Call", headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        known = self._authorizations.find(call.key)
        answer = await self._follow(method, call, headers, known)
        if answer.status != 401:
            return answer
        self._authorizations.forget(call.key)
        challenge = read_challenge(answer.headers.getall("WWW-Authenticate", ()))
        if challenge is None:
            return answer
        answer.close()
        value, lifetime_s = await self._authorization(call, challenge)
        answer = await self._follow(method, call, headers, value)
        if answer.status != 401:
            self._authorizations.keep(call.key, value, lifetime_s)
        return answer

    async def _follow(
        self, method: str, call: "_Call", headers: Mapping[str, str], authorization: str
    ) -> aiohttp.ClientResponse:
        url, public = call.url, False
        for _ in range(_MOST_REDIRECTS + 1):
            own = dict(headers)
            if authorization and url.origin() == call.url.origin():
                own["Authorization"] = authorization
            answer = await self._request(method, url, call, own, public=public)
            if answer.status not in _REDIRECTS:
                return answer
            location = answer.headers.get("Location", "")
            answer.close()
            url = _joined(url, location)
            public = await self._must_be_public(call, url)
        raise denied(f"{call.wanted.registry} redirects too often")

    async def _authorization(self, call: "_Call", challenge: Challenge) -> tuple[str, float]:
        """Return a header that meets a challenge, and the seconds that it is valid."""
        pair = f"{call.credential.username}:{call.credential.password}".encode()
        basic = f"Basic {b64encode(pair).decode()}"
        if not challenge.realm:
            return basic, _BASIC_S
        url = _joined(call.url, challenge.realm)
        url = url.update_query(scope=f"repository:{call.wanted.repository}:pull")
        if challenge.service:
            url = url.update_query(service=challenge.service)
        answer = await self._request(
            "GET",
            url,
            call,
            {"Authorization": basic, "Accept-Encoding": "identity"},
            public=await self._must_be_public(call, url),
        )
        try:
            if answer.status != 200:
                raise denied(
                    f"the token service of {call.wanted.registry} answered {answer.status}"
                    f" {answer.reason} to the credential of the execution role"
                )
            body = await _read_at_most(answer, _MOST_TOKEN_BYTES)
            token = msgspec.json.decode(body, type=_Token)
        except msgspec.MsgspecError as error:
            message = f"the token service of {call.wanted.registry} answered no token"
            raise RefusedError(502, "UNAVAILABLE", message) from error
        finally:
            answer.close()
        lifetime_s = min(token.expires_in, _LONGEST_S)
        return f"Bearer {token.token or token.access_token}", lifetime_s

    async def _request(
        self, method: str, url: URL, call: "_Call", headers: Mapping[str, str], *, public: bool
    ) -> aiohttp.ClientResponse:
        # The resolver is asked about names only.
        address = _literal(url.host or "")
        if address is not None and not may_call(address, public=public, never=self._never):
            raise denied(
                f"{call.wanted.registry} refers to {address}, which the pull proxy may not call"
            )
        return await self._sessions[public].request(
            method, url, headers=headers, ssl=call.trust, allow_redirects=False
        )

    async def _must_be_public(self, call: "_Call", url: URL) -> bool:
        """Whether a URL that a registry refers to must have a public address."""
        if url.host == call.url.host:
            return False
        own = await resolve(call.url.host or "")
        return all(address.is_global for address in own)

    def _new_trust(self, authority: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._public)
        if authority:
            context.load_verify_locations(cadata=authority)
        return context


@dataclass(frozen=True, slots=True)
class _Call:
    """One pull at its registry."""

    wanted: PullRequest
    credential: RegistryCredential
    trust: ssl.SSLContext

    @property
    def url(self) -> URL:
        return URL(self.wanted.url, encoded=True)

    @property
    def key(self) -> _Key:
        return _Key(self.wanted.registry, self.wanted.repository, self.credential)


def _joined(base: URL, location: str) -> URL:
    """Resolve a reference of a registry's answer.

    Raises:
        RefusedError: It is no URL of https.
    """
    try:
        # Encoded: a signature in it holds for exactly these characters.
        url = base.join(URL(location, encoded=True))
        if url.scheme == "https" and url.host:
            return url
    except ValueError as error:
        raise denied(f"{base.host} refers to a URL that cannot be read") from error
    raise denied(f"{base.host} refers to a URL that is not of https")


def _literal(host: str) -> IPv4Address | None:
    try:
        return IPv4Address(host)
    except AddressValueError:
        return None


async def _read_at_most(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise RefusedError(502, "UNAVAILABLE", "the token service's answer is too long")
    return b"".join(parts)
