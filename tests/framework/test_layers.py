"""Each test has exactly one layer, that of its fixtures; seen in separate runs of pytest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
_ROOT = Path(__file__).resolve().parents[2]
_CONFTEST = """
import pytest
from tests.framework import layers

pytest_collection_modifyitems = layers.sort


@pytest.fixture
def api_server(): ...
@pytest.fixture
def admin(api_server): ...
@pytest.fixture
def lab(): ...
"""


def _pytest(directory: Path, tests: str, *words: str) -> str:
    (directory / "conftest.py").write_text(_CONFTEST)
    (directory / "test_it.py").write_text(f"import pytest\n\n{tests}\n")
    (directory / "pytest.ini").write_text("[pytest]\nmarkers =\n    unit\n    kernel\n    api\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "test_it.py", *words],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_layer_that_is_missing_or_wrong_ends_the_run(tmp_path: Path) -> None:
    said = _pytest(
        tmp_path,
        "def test_none(): pass\n"
        "@pytest.mark.unit\n@pytest.mark.api\ndef test_two(admin): pass\n"
        "@pytest.mark.unit\ndef test_low(admin): pass\n"
        "@pytest.mark.kernel\ndef test_lower(lab, admin): pass\n"
        "@pytest.mark.api\ndef test_high(lab): pass\n"
        "@pytest.mark.kernel\ndef test_good(lab): pass\n",
        "-m",
        "kernel",
    )
    for problem in (
        "none: marked with no layer",
        "two: marked unit and api",
        "low: marked unit, but its fixture api_server is of api",
        "lower: marked kernel, but its fixture api_server is of api",
        "high: marked api, but its fixture lab is of kernel",
    ):
        assert f"test_it.py::test_{problem}\n" in said
    assert "passed" not in said


def test_tests_that_need_least_run_first(tmp_path: Path) -> None:
    said = _pytest(
        tmp_path,
        "@pytest.mark.api\ndef test_a(admin): pass\n"
        "@pytest.mark.kernel\ndef test_b(): pass\n"
        "@pytest.mark.unit\ndef test_c(): pass\n",
    )
    order = [said.index(f"test_it.py::test_{name} PASSED") for name in "cba"]
    assert order == sorted(order)
