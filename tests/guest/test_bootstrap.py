"""How Debian's packages are unpacked, with an imitation of ``mmdebstrap`` that mounts too."""

import os
import signal
from pathlib import Path

import pytest

from monopod.node.guest import root
from monopod.node.guest.errors import ImageBuildError
from monopod.util import process

pytestmark = pytest.mark.kernel

_MOUNTS = """\
#!/bin/sh
mkdir -p "$TREE"
mount -t tmpfs none "$TREE" && touch "$TREE/mounted"
echo $$
exec sleep infinity
"""


async def test_a_killed_build_leaves_no_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, program = tmp_path / "tree", tmp_path / "bin/mmdebstrap"
    program.parent.mkdir()
    program.write_text(_MOUNTS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TREE", str(tree))
    seen_by_it: list[bool] = []

    def kill(pid: str) -> None:
        seen_by_it.append(Path("/proc", pid, "root", *tree.parts[1:], "mounted").exists())
        os.kill(int(pid), signal.SIGKILL)

    with pytest.raises(ImageBuildError):
        await root.bootstrap(tree, "true", kill)
    assert seen_by_it == [True]
    assert str(tree) not in await process.run("cat", "/proc/self/mountinfo")
