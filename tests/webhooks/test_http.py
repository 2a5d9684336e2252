"""The real server, over real TLS."""

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monopod.identity.serving import ServingCertificate
from monopod.webhooks.webhook import Webhook
from tests.apiserver import LOOPBACK, CertificateMaker
from tests.webhooks.support import Profiles, pod, profile, response, review

pytestmark = pytest.mark.unit

Server = tuple[str, ssl.SSLContext]


class Files:
    """A certificate's files, and the authority that makes new ones."""

    def __init__(self, directory: Path) -> None:
        self.maker = CertificateMaker()
        self.certificate, self.key = directory / "serving.crt", directory / "serving.key"
        self.renew()

    def renew(self) -> tuple[bytes, bytes]:
        pair = self.maker.issue("admission", (), LOOPBACK)
        for file, content in zip((self.certificate, self.key), pair, strict=True):
            self.put(file, content)
        return pair

    def put(self, file: Path, content: bytes) -> None:
        new = file.with_suffix(".new")
        new.write_bytes(content)
        new.replace(file)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
async def server(files: Files) -> AsyncIterator[Server]:
    application = Webhook(Profiles(profile("fp", "shop"))).application()
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    context = ServingCertificate(files.certificate, files.key).context()
    await web.TCPSite(runner, LOOPBACK, 0, ssl_context=context).start()
    client = ssl.create_default_context(cadata=files.maker.pem.decode())
    yield f"https://{LOOPBACK}:{runner.addresses[0][1]}", client
    await runner.cleanup()


async def post(
    server: Server, body: bytes, path: str = "/mutate", **more: Any
) -> tuple[int, bytes]:
    url, context = server
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + path, data=io.BytesIO(body), ssl=context, **more) as answer,
    ):
        return answer.status, await answer.read()


async def test_a_review_is_answered(server: Server) -> None:
    status, body = await post(server, json.dumps(review(pod())).encode())
    assert status == 200
    assert response(body)["patch"]


@pytest.mark.parametrize(
    ("path", "body", "headers", "expected"),
    [
        ("/mutate", b"", {}, 400),
        ("/mutate", b"nonsense", {}, 400),
        ("/mutate", b"\xff\xfe", {}, 400),
        ("/mutate", b"{}", {"Content-Encoding": "gzip"}, 400),
        ("/mutate", b" " * (17 << 20), {}, 413),
        ("/", b"{}", {}, 404),
        ("/mutate/", b"{}", {}, 404),
    ],
)
async def test_bad_requests_are_the_callers_fault(
    server: Server, path: str, body: bytes, headers: dict[str, str], expected: int
) -> None:
    status, _ = await post(server, body, path, headers=headers)
    assert status == expected


async def test_other_methods_are_refused(server: Server) -> None:
    url, context = server
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/mutate", ssl=context) as answer,
    ):
        assert answer.status == 405


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda b: b"POST /mutate " + b))
async def test_garbage_on_the_wire_does_not_end_it(server: Server, garbage: bytes) -> None:
    url, context = server
    reader, writer = await asyncio.open_connection(
        LOOPBACK, int(url.rpartition(":")[2]), ssl=context
    )
    writer.write(garbage + b"\r\n\r\n")
    with suppress(ConnectionError):
        await writer.drain()
        head = await asyncio.wait_for(reader.read(12), 30) if garbage.strip() else b""
        assert not head.startswith(b"HTTP/1.1 5")
    writer.close()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    assert (await post(server, json.dumps(review(pod())).encode()))[0] == 200


async def presented(server: Server) -> int:
    """The serial number of the certificate that a new connection sees."""
    url, context = server
    _, writer = await asyncio.open_connection(LOOPBACK, int(url.rpartition(":")[2]), ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return x509.load_der_x509_certificate(der).serial_number


def serial(pem: bytes) -> int:
    return x509.load_pem_x509_certificate(pem).serial_number


async def test_a_renewed_certificate_counts_from_the_next_connection_on(
    server: Server, files: Files
) -> None:
    before = await presented(server)
    certificate, _ = files.renew()
    assert before != await presented(server) == serial(certificate)


def foreign_key(files: Files) -> None:
    files.put(files.key, files.maker.issue("other")[1])


def half_a_certificate(files: Files) -> None:
    files.put(files.certificate, b"half")


def no_key(files: Files) -> None:
    files.key.unlink()


@pytest.mark.parametrize("spoil", [foreign_key, half_a_certificate, no_key])
async def test_half_a_renewal_changes_nothing(
    server: Server, files: Files, spoil: Callable[[Files], None]
) -> None:
    before = await presented(server)
    spoil(files)
    assert await presented(server) == before
    certificate, _ = files.renew()
    assert await presented(server) == serial(certificate)
