"""The generated messages are those of the protocol file."""

import sys
from pathlib import Path

import pytest

from monopod.node import devices
from monopod.util import process

pytestmark = pytest.mark.unit

DIRECTORY = Path(devices.__file__).parent
NAMES = ("device_plugin_pb2.py", "device_plugin_pb2.pyi")


async def test_the_messages_are_generated_from_the_file(tmp_path: Path) -> None:
    await process.run(
        *(sys.executable, "-m", "grpc_tools.protoc", "-I."),
        *(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", "device_plugin.proto"),
        cwd=DIRECTORY,
    )
    for name in NAMES:
        assert (tmp_path / name).read_text() == (DIRECTORY / name).read_text(), "run make protocol"
