"""HTTP connections to one API server, and their client certificates.

Client certificates, and tokens of service accounts, are short-lived and renewed on disk while the
process runs. A connection keeps the certificate it was made with, and the API server checks its
expiry at every request; so when a file changes, new requests use a new pool, and the old pool
closes after its last request.
"""

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import yaml
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from monopod.kube.errors import KubeconfigError

_TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
_REQUESTS: Final = httpx2.Limits(
    max_connections=16, max_keepalive_connections=16, keepalive_expiry=60.0
)
"""Each request scans every connection of its pool, so connections are few and long-lived; but less
than the 90 s after which the API server closes idle ones."""
_WATCHES: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
_UNUSABLE: Final = (
    OSError,
    ssl.SSLError,
    ConfigError,
    yaml.YAMLError,
    # What lightkube's loader raises when parts are missing or of another type.
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)
_RENEWALS: Final = httpx2.Limits(
    max_connections=1, max_keepalive_connections=1, keepalive_expiry=60.0
)
_Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request that upgrades its connection, authenticated."""

    url: str
    context: ssl.SSLContext
    headers: Mapping[str, str]


class _Pool:
    """The connections made with one version of the certificate files."""

    def __init__(self, config: SingleConfig, user_agent: str) -> None:
        user = config.user
        if user is None:
            raise KubeconfigError(f"{config.fname}: the current context names no user")
        context = client_adapter.verify_cluster(
            config.cluster, user, config.abs_file, trust_env=False
        )
        auth = client_adapter.user_auth(user)

        def client(limits: httpx2.Limits) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(
                base_url=config.cluster.server,
                verify=context,
                auth=auth,
                headers={"User-Agent": user_agent, "Accept": "application/json"},
                timeout=_TIMEOUT,
                limits=limits,
                trust_env=False,
            )

        self.context = context
        self.auth = auth
        self.requests = client(_REQUESTS)
        self.watches = client(_WATCHES)
        self.renewals = client(_RENEWALS)
        self.users = 0
        self.retired = False

    async def leave(self) -> None:
        self.users -= 1
        if self.retired and self.users == 0:
            await self.close()

    async def close(self) -> None:
        await self.requests.aclose()
        await self.watches.aclose()
        await self.renewals.aclose()


class Connections:
    """Lends HTTP clients that use the newest certificates."""

    def __init__(self, kubeconfig: Path, user_agent: str) -> None:
        """Read the kubeconfig.

        Raises:
            KubeconfigError: The kubeconfig, or a certificate it names, is missing or unusable.
        """
        self._kubeconfig = kubeconfig
        self._user_agent = user_agent
        self._files: tuple[Path, ...] = (kubeconfig,)
        self._pool = self._load()
        self._stamp = self._look()

    @asynccontextmanager
    async def for_request(self) -> AsyncGenerator[httpx2.AsyncClient]:
        """Lend a client for one request."""
        async with self._use() as pool:
            yield pool.requests

    @asynccontextmanager
    async def for_watch(self) -> AsyncGenerator[httpx2.AsyncClient]:
        """Lend a client for one watch, which takes no connection from requests."""
        async with self._use() as pool:
            yield pool.watches

    @asynccontextmanager
    async def for_renewal(self) -> AsyncGenerator[httpx2.AsyncClient]:
        """Lend a client whose requests wait for no others, for the renewal of a Lease."""
        async with self._use() as pool:
            yield pool.renewals

    @asynccontextmanager
    async def for_upgrade(self, path: str) -> AsyncGenerator[Upgrade]:
        """Lend what another client needs for a request that upgrades its connection."""
        async with self._use() as pool:
            request = pool.requests.build_request("GET", path)
            if pool.auth is not None:
                request = next(pool.auth.sync_auth_flow(request))
            headers = {
                name: request.headers[name]
                for name in ("User-Agent", "Authorization")
                if name in request.headers
            }
            yield Upgrade(str(request.url), pool.context, headers)

    async def close(self) -> None:
        """Close every connection."""
        self._pool.retired = True
        await self._pool.close()

    @asynccontextmanager
    async def _use(self) -> AsyncGenerator[_Pool]:
        await self._renew()
        pool = self._pool
        pool.users += 1
        try:
            yield pool
        finally:
            await pool.leave()

    async def _renew(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        try:
            pool = self._load()
        except KubeconfigError:
            # A renewal has written only one of certificate and key: the next request retries.
            return
        old, self._pool, self._stamp = self._pool, pool, stamp
        old.retired = True
        if old.users == 0:
            await old.close()

    def _load(self) -> _Pool:
        try:
            config = KubeConfig.from_file(self._kubeconfig).get()
            if config is None:
                raise KubeconfigError(f"{self._kubeconfig}: has no current context")
            pool = _Pool(config, self._user_agent)
        except _UNUSABLE as error:
            raise KubeconfigError(f"{self._kubeconfig}: {error}") from error
        user = config.user
        named = (
            config.cluster.certificate_auth,
            user.client_cert if user else None,
            user.client_key if user else None,
            user.token_file if user else None,
        )
        self._files = (
            self._kubeconfig,
            *(Path(config.abs_file(name)) for name in named if name is not None),
        )
        return pool

    def _look(self) -> _Stamp:
        stamp: list[int] = []
        for file in self._files:
            try:
                state = file.stat()
            except OSError:
                stamp.append(0)
            else:
                stamp += (state.st_mtime_ns, state.st_ino)
        return tuple(stamp)
