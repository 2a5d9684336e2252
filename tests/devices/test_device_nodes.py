"""Nodes of devices on a host."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from monopod.node.devices.device import KVM, DeviceError, make_node

pytestmark = pytest.mark.kernel


def test_every_user_may_open_a_node_in_a_directory_that_only_root_can_list(tmp_path: Path) -> None:
    device = replace(KVM, path=tmp_path / "kvm")
    for _ in range(2):
        make_node(device)
        found = device.path.stat()
        assert stat.S_ISCHR(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o666
        assert found.st_rdev == os.makedev(10, 232)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o711


def test_what_is_no_such_node_is_replaced(tmp_path: Path) -> None:
    device = replace(KVM, path=tmp_path / "kvm")
    device.path.write_text("")
    make_node(device)
    assert device.path.is_char_device()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no node of device kvm"):
        make_node(replace(KVM, path=tmp_path / "missing" / "kvm"))
