"""The file that keeps new machines off a host."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from monopod.node.provider import HostCordonedError, cordon
from monopod.node.provider.cordon import Cordon

pytestmark = [pytest.mark.unit, pytest.mark.row("S21")]

SINCE = datetime(2026, 11, 30, 6, tzinfo=UTC)


def test_a_cordon_says_why_and_what_lifts_it(tmp_path: Path) -> None:
    path = tmp_path / "cordoned"
    cordon.check(path)
    assert cordon.lift(path) is None
    cordon.write(path, Cordon(SINCE, "kernel update"))
    with pytest.raises(HostCordonedError) as refused:
        cordon.check(path)
    assert str(refused.value) == (
        "this host is cordoned since 2026-11-30 06:00:00 UTC (kernel update): no machine starts"
        " until `monopod host uncordon`"
    )
    assert cordon.lift(path) == Cordon(SINCE, "kernel update")
    cordon.check(path)


def test_a_shutdown_is_another_cordon(tmp_path: Path) -> None:
    path = tmp_path / "cordoned"
    cordon.write(path, Cordon(SINCE, shutdown=True))
    with pytest.raises(HostCordonedError, match="machines start after `monopod up`"):
        cordon.check(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"since":"yesterday"}'])
def test_an_unreadable_file_keeps_machines_off_too(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cordoned"
    path.write_bytes(content)
    with pytest.raises(HostCordonedError, match="cannot be read"):
        cordon.check(path)
