"""A failing program explains itself, and ends when it is asked to."""

import re
import sys
import time
from pathlib import Path

import pytest

from monopod.controlplane import monopod_services
from monopod.controlplane.layout import Layout
from monopod.node.vmm.jail import setpriv_argv
from monopod.node.vmm.launcher import UNUSED_UID
from monopod.settings import Settings
from monopod.util.process import ProcessError, run

_STAYS = "echo before >&2; echo out; echo 'KVM internal error. Suberror: 1' >&2; exec sleep 60"
_TIMES_OUT = """
import asyncio, sys
from monopod.util.process import ProcessError, run
try:
    asyncio.run(run(*sys.argv[1:], timeout_s=0.3))
except ProcessError as error:
    print(error.stderr)
"""


@pytest.mark.unit
async def test_the_cause_is_shown_after_a_long_line() -> None:
    script = "echo start; printf '%9000s\\n' x; echo the cause"
    with pytest.raises(ProcessError) as failed:
        await run("sh", "-c", f"{{ {script}; }} >&2; exit 3")
    said = str(failed.value)
    assert said.endswith("...\nthe cause")
    assert "exited with 3: start" in said


@pytest.mark.unit
async def test_a_program_that_prints_something_fatal_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(ProcessError) as failed:
        await run("sh", "-c", _STAYS, timeout_s=60, fatal=re.compile(rb"internal error.*\n"))
    assert time.monotonic() - began < 30
    assert failed.value.returncode == -9
    assert "was ended by signal 9: before" in str(failed.value)
    assert failed.value.stdout == "out\n"
    assert failed.value.stderr == "before\nKVM internal error. Suberror: 1\n"


@pytest.mark.unit
async def test_one_that_takes_too_long_or_does_not_exist_says_so() -> None:
    with pytest.raises(ProcessError, match=r"sleep 60 failed: timed out after 0\.1 s"):
        await run("sleep", "60", timeout_s=0.1)
    with pytest.raises(ProcessError, match=r"no-such-program failed: .*No such file"):
        await run("no-such-program")


@pytest.mark.unit
async def test_other_output_is_not_fatal() -> None:
    printed = await run("sh", "-c", "cat; echo no >&2", stdin=b"in", fatal=re.compile(rb"yes"))
    assert printed == "in"


@pytest.mark.kernel
async def test_the_microvm_controller_can_end_a_jail_that_hangs(tmp_path: Path) -> None:
    """Its jails have another user, which takes a capability."""
    settings = Settings(home=tmp_path)
    service = monopod_services.microvm(Layout.of(settings, 0), settings.cache)
    kept = "".join(f",+{name}" for name in service.capabilities)
    said = await run(
        *("setpriv", "--inh-caps=-all", f"--bounding-set=-all{kept}"),
        *(sys.executable, "-c", _TIMES_OUT, *setpriv_argv(UNUSED_UID), "sleep", "60"),
        timeout_s=60,
    )
    assert said == "timed out after 0.3 s\n"
