"""Connections to one API server, and their certificates.

Client certificates are short-lived and renewed on disk while we run. A connection keeps the
certificate it was made with, and the API server checks its expiry at every request; so when a file
changes, new requests go over new connections, and the old ones close when their last user leaves.
"""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
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
"""Each request looks at every connection of its pool, so there are few, and all of them stay; but
not as long as the 90 s after which the API server itself closes them."""
_WATCHES: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
_UNUSABLE: Final = (
    OSError,
    ssl.SSLError,
    ConfigError,
    yaml.YAMLError,
    # What the loader stumbles over when parts are missing or of another type.
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)
_Stamp = tuple[int, ...]


class _Pool:
    """The connections made with one version of the files."""

    def __init__(self, config: SingleConfig, user_agent: str) -> None:
        user = config.user
        if user is None:
            raise KubeconfigError(f"{config.fname}: the context names no user")
        context = client_adapter.verify_cluster(
            config.cluster, user, config.abs_file, trust_env=False
        )

        def client(limits: httpx2.Limits) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(
                base_url=config.cluster.server,
                verify=context,
                auth=client_adapter.user_auth(user),
                headers={"User-Agent": user_agent, "Accept": "application/json"},
                timeout=_TIMEOUT,
                limits=limits,
                trust_env=False,
            )

        self.requests = client(_REQUESTS)
        self.watches = client(_WATCHES)
        self.users = 0
        self.retired = False

    async def leave(self) -> None:
        self.users -= 1
        if self.retired and self.users == 0:
            await self.close()

    async def close(self) -> None:
        await self.requests.aclose()
        await self.watches.aclose()


class Connections:
    """Hands out HTTP clients that carry the newest certificates."""

    def __init__(self, kubeconfig: Path, user_agent: str) -> None:
        """Read the kubeconfig.

        Raises:
            KubeconfigError: It, or a certificate it names, is missing or unusable.
        """
        self._kubeconfig = kubeconfig
        self._user_agent = user_agent
        self._files: tuple[Path, ...] = (kubeconfig,)
        self._pool = self._load()
        self._stamp = self._look()

    @asynccontextmanager
    async def for_request(self) -> AsyncGenerator[httpx2.AsyncClient]:
        """Lend a client for the length of one request."""
        async with self._use() as pool:
            yield pool.requests

    @asynccontextmanager
    async def for_watch(self) -> AsyncGenerator[httpx2.AsyncClient]:
        """Lend a client for the length of one watch, which takes no connection from requests."""
        async with self._use() as pool:
            yield pool.watches

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
            # Caught between the writing of a certificate and of its key: the next request sees.
            return
        old, self._pool, self._stamp = self._pool, pool, stamp
        old.retired = True
        if old.users == 0:
            await old.close()

    def _load(self) -> _Pool:
        try:
            config = KubeConfig.from_file(self._kubeconfig).get()
            if config is None:
                raise KubeconfigError(f"{self._kubeconfig} names no current context")
            pool = _Pool(config, self._user_agent)
        except _UNUSABLE as error:
            raise KubeconfigError(f"{self._kubeconfig}: {error}") from error
        user = config.user
        named = (
            config.cluster.certificate_auth,
            user.client_cert if user else None,
            user.client_key if user else None,
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
