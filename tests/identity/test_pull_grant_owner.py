"""Who may read what a machine may pull: only root gives files away."""

import os
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from monopod.identity.pull_grant import PullGrants

pytestmark = pytest.mark.kernel

_PROXY = 1_399_999_998


def test_a_file_belongs_to_the_group_of_the_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 0, _PROXY)
    PullGrants(tmp_path).write("mvm-1", IPv4Address("100.64.0.9"), "role", [], {})
    (file,) = tmp_path.iterdir()
    assert file.stat().st_uid == _PROXY
