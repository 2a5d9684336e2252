"""A registry outside the cluster that requires a password."""

import asyncio
import json
import secrets
import ssl
import subprocess
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from monopod.build.images import push
from monopod.identity.authority import Subject, new_authority
from tests.framework.eventually import eventually

USERNAME: Final = "puller"
PASSWORD: Final = "needle-in-no-haystack-5b1f"  # noqa: S105 - of a registry that a test makes
_BCRYPT: Final = "$2b$04$s58JU5rST6dyClVJhyV2juWbEKSugx7zqIAKMkVGBeS0UfZ9r.oji"
_HOST, _REGISTRY, _PREFIX = ip_address("203.0.113.1"), ip_address("203.0.113.2"), 30
_PORT: Final = 5443
_STARTS_WITHIN_S: Final = 30


@dataclass(frozen=True)
class PrivateRegistry:
    """A registry with TLS and a private certificate authority."""

    endpoint: str
    authority: str
    """PEM."""
    trust: ssl.SSLContext

    @property
    def authorization(self) -> str:
        return f"Basic {_pair(PASSWORD)}"

    def docker_config(self, password: str = PASSWORD) -> str:
        """Return the configuration that ``docker login`` would write."""
        return json.dumps({"auths": {self.endpoint: {"auth": _pair(password)}}})

    async def push(self, archive: Path, name: str) -> str:
        return await push(
            archive,
            f"https://{self.endpoint}",
            name=name,
            ssl=self.trust,
            authorization=self.authorization,
        )


@asynccontextmanager
async def private_registry(directory: Path) -> AsyncGenerator[PrivateRegistry]:
    """Run a registry in a separate network namespace, one link away from this host."""
    tag = secrets.token_hex(3)
    namespace, link = f"e2e-registry-{tag}", f"e2er{tag}"
    authority = new_authority("private registry", datetime.now(UTC))
    endpoint = f"{_REGISTRY}:{_PORT}"
    _ip("netns", "add", namespace)
    try:
        _wire(namespace, link)
        config = _configure(directory, authority.issue(_subject(), datetime.now(UTC)))
        child = _serve(namespace, config)
        try:
            pem = authority.pair.certificate.decode()
            registry = PrivateRegistry(endpoint, pem, ssl.create_default_context(cadata=pem))
            assert await _answers(registry, child), config.with_name("log").read_text()
            yield registry
        finally:
            child.terminate()
            await asyncio.to_thread(child.wait)
    finally:
        _ip("netns", "delete", namespace)


def _subject() -> Subject:
    return Subject("registry", client=False, server=True, addresses=(IPv4Address(_REGISTRY),))


def _wire(namespace: str, link: str) -> None:
    _ip("link", "add", link, "type", "veth", "peer", "eth0", "netns", namespace)
    _ip("address", "add", f"{_HOST}/{_PREFIX}", "dev", link)
    _ip("link", "set", link, "up")
    _ip("-netns", namespace, "address", "add", f"{_REGISTRY}/{_PREFIX}", "dev", "eth0")
    _ip("-netns", namespace, "link", "set", "eth0", "up")
    _ip("-netns", namespace, "route", "add", "default", "via", str(_HOST))


def _configure(directory: Path, pair: Any) -> Path:
    files = {
        "registry.crt": pair.certificate,
        "registry.key": pair.key,
        "htpasswd": f"{USERNAME}:{_BCRYPT}\n".encode(),
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)
    configuration = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "auth": {"htpasswd": {"realm": "private", "path": str(directory / "htpasswd")}},
        "http": {
            "addr": f"{_REGISTRY}:{_PORT}",
            "secret": "e2e",
            "tls": {
                "certificate": str(directory / "registry.crt"),
                "key": str(directory / "registry.key"),
            },
        },
    }
    path = directory / "config.yml"
    path.write_text(yaml.safe_dump(configuration))
    return path


def _serve(namespace: str, config: Path) -> subprocess.Popen[bytes]:
    with config.with_name("log").open("wb") as log:
        return subprocess.Popen(
            ["ip", "netns", "exec", namespace, "docker-registry", "serve", config],
            stdout=log,
            stderr=log,
        )


async def _answers(registry: PrivateRegistry, child: subprocess.Popen[bytes]) -> bool:
    connector = aiohttp.TCPConnector(ssl=registry.trust)
    async with aiohttp.ClientSession(connector=connector) as web:

        async def status() -> int:
            if child.poll() is not None:
                return -1
            async with web.get(f"https://{registry.endpoint}/v2/") as answer:
                return answer.status

        found = await eventually(
            status,
            f"{registry.endpoint} answers",
            _STARTS_WITHIN_S,
            errors=(aiohttp.ClientConnectionError,),
            every_s=0.1,
        )
    return found == 401


def _pair(password: str) -> str:
    return b64encode(f"{USERNAME}:{password}".encode()).decode()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
