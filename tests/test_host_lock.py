"""The lock of a part of a host: one process has it, and its end frees it."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from monopod.util import process
from monopod.util.host_lock import HostLock
from tests.framework.eventually import eventually

pytestmark = pytest.mark.unit

_HOLDER = """
import asyncio, sys
from pathlib import Path
from monopod.util.host_lock import HostLock

async def main():
    lock = HostLock(Path(sys.argv[1]))
    await lock.acquire()
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_suspended_holder_keeps_the_lock_and_its_end_frees_it(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, tmp_path, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"held\n"
    lock = HostLock(tmp_path)
    waiting = asyncio.create_task(lock.acquire())
    child.send_signal(signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.5)
    child.kill()
    await child.wait()
    await asyncio.wait_for(waiting, 30)
    await lock.acquire()
    lock.release()
    lock.release()


async def test_programs_that_the_holder_starts_do_not_keep_it(tmp_path: Path) -> None:
    lock = HostLock(tmp_path)
    await lock.acquire()
    sleeper = asyncio.create_task(process.run("sleep", "60"))
    await eventually(lambda: not sleeper.done())
    lock.release()
    other = HostLock(tmp_path)
    await asyncio.wait_for(other.acquire(), 30)
    other.release()
    sleeper.cancel()
    await asyncio.gather(sleeper, return_exceptions=True)


async def test_a_cancelled_wait_holds_nothing(tmp_path: Path) -> None:
    first, second = HostLock(tmp_path), HostLock(tmp_path)
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    first.release()
    await asyncio.wait_for(first.acquire(), 30)
    first.release()
    with pytest.raises(OSError, match="no-such"):
        await HostLock(tmp_path / "no-such").acquire()
