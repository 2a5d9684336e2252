"""The generated module matches botocore's model, and so do the implemented operations."""

import runpy
from pathlib import Path

import pytest

from monopod.eksapi import wire
from monopod.eksapi.operation import Router

pytestmark = pytest.mark.unit

_TOOL = Path(__file__).resolve().parents[2] / "tools" / "generate_eks_wire.py"


def test_the_module_is_generated_from_the_current_model() -> None:
    tool = runpy.run_path(str(_TOOL))
    assert tool["TARGET"].read_text() == tool["generate"](), "run tools/generate_eks_wire.py"


def test_every_operation_is_found_by_its_own_path() -> None:
    router = Router(wire.OPERATIONS, wire.UNIMPLEMENTED)
    for each in wire.OPERATIONS:
        path = "/" + "/".join(f"%2F{part[1]}" if part[0] == "{" else part for part in each.path)
        found, held = router.find(each.method, path)
        assert found is each
        assert all(value.startswith("/") for value in held.values())
