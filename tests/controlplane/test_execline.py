import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monopod.controlplane import execline
from monopod.util import process

pytestmark = pytest.mark.unit

_WORD = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.one_of(_WORD, st.sampled_from(["{", "}", "$x", "#", "\\", '"', "\n"]))))
async def test_every_word_arrives_unchanged(tmp_path: Path, words: list[str]) -> None:
    script = execline.script(("env", "-i"), ("/usr/bin/printf", "%s\\0", *words))
    assert await _run(tmp_path, script) == ("".join(f"{word}\0" for word in words) or "\0")


async def test_prepare_commands_run_first_and_may_fail(tmp_path: Path) -> None:
    script = execline.script(
        ("echo", "last"), prepare=[("echo", "first"), ("rm", str(tmp_path / "missing"))]
    )
    assert await _run(tmp_path, script) == "first\nlast\n"


def test_a_nul_is_rejected() -> None:
    with pytest.raises(ValueError, match="NUL"):
        execline.quote("a\0b")


async def _run(directory: Path, script: str) -> str:
    path = directory / "run"
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return await process.run(path)
