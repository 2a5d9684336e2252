"""A real registry on the loopback, and archives as other tools write them."""

import hashlib
import io
import json
import socket
import subprocess
import tarfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from monopod.build.images import ImageConfig, write_archive
from tests.framework.eventually import eventually_blocking


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of Debian's registry, run for the session."""
    port = _free_port()
    listening = {"addr": f"127.0.0.1:{port}"}
    with _running_registry(tmp_path_factory.mktemp("registry"), listening, ("127.0.0.1", port)):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def registry_socket(tmp_path: Path) -> Iterator[Path]:
    """The Unix socket of a registry, next to its ``data``."""
    with registry_by_socket(tmp_path) as path:
        yield path


@contextmanager
def registry_by_socket(directory: Path) -> Generator[Path]:
    """Run a registry in a directory, with the content of earlier runs."""
    path = directory / "socket"
    path.unlink(missing_ok=True)
    with _running_registry(directory, {"net": "unix", "addr": str(path)}, str(path)):
        yield path


def collect_garbage(directory: Path) -> None:
    """Collect garbage, as the registry's service does before it starts."""
    subprocess.run(
        ["docker-registry", "garbage-collect", directory / "config.yml"],
        check=True,
        capture_output=True,
    )


@contextmanager
def _running_registry(
    directory: Path, listening: dict[str, str], address: tuple[str, int] | str
) -> Generator[None]:
    configuration = {
        "version": 0.1,
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
        },
        "http": listening,
    }
    (directory / "config.yml").write_text(json.dumps(configuration))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", directory / "config.yml"], stdout=log, stderr=log
        )
    try:
        eventually_blocking(lambda: process.poll() is not None or _listens(address))
        assert process.poll() is None, (directory / "log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _listens(address: tuple[str, int] | str) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        return client.connect_ex(address) == 0


@pytest.fixture
def oci_archive(tmp_path: Path) -> Path:
    """An image of one small file and a link."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "hello").write_text("#!/bin/sh\necho hello\n")
    (root / "bin" / "hello").chmod(0o755)
    (root / "bin" / "hi").symlink_to("hello")
    archive = tmp_path / "hello.tar"
    config = ImageConfig(entrypoint=("/bin/hello",), environment={"PATH": "/bin"})
    write_archive(root, archive, name="tests/hello:1", config=config)
    return archive


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def tar_of(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


@pytest.fixture
def edit(oci_archive: Path) -> Callable[[Callable[[dict[str, bytes]], None]], Path]:
    """Change the files inside the archive."""

    def change(how: Callable[[dict[str, bytes]], None]) -> Path:
        files = members(oci_archive)
        how(files)
        oci_archive.write_bytes(tar_of(files))
        return oci_archive

    return change


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        found = ((name, tar.extractfile(name)) for name in tar.getnames())
        return {name: content.read() for name, content in found if content is not None}
