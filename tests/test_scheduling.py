"""Shorter turns of a process and of all that it starts."""

import os
import struct
import sys

import pytest

from monopod.util import process

pytestmark = pytest.mark.unit

_GET = {"x86_64": 315, "aarch64": 275}[os.uname().machine]
_SLICE_AT = struct.calcsize("=IIQiI")
_SLICE_NS = 300_000
_LOOK = f"""
import ctypes, struct
attributes = ctypes.create_string_buffer(56)
assert ctypes.CDLL(None).syscall({_GET}, 0, attributes, len(attributes), 0) == 0
print(*struct.unpack_from("=Q", attributes.raw, {_SLICE_AT}))
"""
_START = f"""
import subprocess, sys
from monopod.util.scheduling import set_slice

set_slice({_SLICE_NS})
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""


@pytest.mark.row("S5")
async def test_what_it_starts_inherits_the_slice() -> None:
    if _kernel() < (6, 12):
        pytest.skip("Linux before 6.12 has one slice for all")
    printed = await process.run(sys.executable, "-c", _START, _LOOK)
    assert int(printed) == _SLICE_NS


def _kernel() -> tuple[int, int]:
    major, minor, *_ = os.uname().release.split(".")
    return int(major), int(minor.partition("-")[0])
