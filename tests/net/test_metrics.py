"""The metric and the log event of dropped packets."""

import pytest

from monopod.controllers.vpc.metrics import DropMetrics

pytestmark = pytest.mark.unit


def test_only_new_drops_are_reported() -> None:
    drops = DropMetrics(("spoofed", "metadata"))
    assert drops.record({"spoofed": 3, "metadata": 0, "version_1": 9}) == {"spoofed": 3}
    assert drops.record({"spoofed": 3, "metadata": 0}) == {}
    assert drops.record({"spoofed": 5, "metadata": 1}) == {"spoofed": 2, "metadata": 1}


def test_restored_rules_count_from_zero() -> None:
    drops = DropMetrics(("spoofed",))
    drops.record({"spoofed": 7})
    assert drops.record({"spoofed": 2}) == {"spoofed": 2}
