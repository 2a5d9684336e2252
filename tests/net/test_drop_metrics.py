"""What is said of dropped packets."""

import pytest

from monopod.controllers.vpc.drop_metrics import DropMetrics

pytestmark = pytest.mark.unit


def test_only_new_drops_are_reported() -> None:
    drops = DropMetrics(("spoofed", "metadata"))
    assert drops.tell({"spoofed": 3, "metadata": 0, "version_1": 9}) == {"spoofed": 3}
    assert drops.tell({"spoofed": 3, "metadata": 0}) == {}
    assert drops.tell({"spoofed": 5, "metadata": 1}) == {"spoofed": 2, "metadata": 1}


def test_restored_rules_count_from_zero() -> None:
    drops = DropMetrics(("spoofed",))
    drops.tell({"spoofed": 7})
    assert drops.tell({"spoofed": 2}) == {"spoofed": 2}
