"""A failing program explains itself, and ends when it is asked to."""

import re
import time

import pytest

from monopod.util.process import ProcessError, run

pytestmark = pytest.mark.unit

_STAYS = "echo before >&2; echo out; echo 'KVM internal error. Suberror: 1' >&2; exec sleep 60"


async def test_the_cause_is_shown_after_a_long_line() -> None:
    script = "echo start; printf '%9000s\\n' x; echo the cause"
    with pytest.raises(ProcessError) as failed:
        await run("sh", "-c", f"{{ {script}; }} >&2; exit 3")
    said = str(failed.value)
    assert said.endswith("...\nthe cause")
    assert "exited with 3: start" in said


async def test_a_program_that_prints_something_fatal_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(ProcessError) as failed:
        await run("sh", "-c", _STAYS, timeout_s=60, fatal=re.compile(rb"internal error.*\n"))
    assert time.monotonic() - began < 30
    assert failed.value.returncode == -9
    assert "was ended by signal 9: before" in str(failed.value)
    assert failed.value.stdout == "out\n"
    assert failed.value.stderr == "before\nKVM internal error. Suberror: 1\n"


async def test_one_that_takes_too_long_or_does_not_exist_says_so() -> None:
    with pytest.raises(ProcessError, match=r"sleep 60 failed: timed out after 0\.1 s"):
        await run("sleep", "60", timeout_s=0.1)
    with pytest.raises(ProcessError, match=r"no-such-program failed: .*No such file"):
        await run("no-such-program")


async def test_other_output_is_not_fatal() -> None:
    printed = await run("sh", "-c", "cat; echo no >&2", stdin=b"in", fatal=re.compile(rb"yes"))
    assert printed == "in"
