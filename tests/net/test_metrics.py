"""Metrics of subnets, and the metric and the log event of dropped packets."""

import pytest
from prometheus_client import REGISTRY

from monopod.controllers.vpc.metrics import DropMetrics, forget_subnet, show_subnet

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


def test_a_subnets_level_ends_with_the_subnet() -> None:
    def level(name: str) -> float | None:
        labels = {"subnet": "s", "zone": "z"}
        return REGISTRY.get_sample_value(f"monopod_subnet_{name}", labels)

    show_subnet("s", "z", 251, 7)
    assert (level("addresses"), level("available_addresses")) == (251, 7)
    forget_subnet("s")
    assert (level("addresses"), level("available_addresses")) == (None, None)
