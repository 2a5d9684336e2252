"""The troubleshooting page names every reason of a refusal and every counter of dropped packets."""

import re
from pathlib import Path

import pytest

from monopod.controllers.scheduler import reasons
from monopod.node.net.router_policy import COUNTERS

pytestmark = pytest.mark.unit

_PAGE = (
    Path(__file__).resolve().parent.parent / "docs" / "how-to" / "troubleshooting.md"
).read_text()
_NAMED = set(re.findall(r"`(\w+)`", _PAGE))


@pytest.mark.parametrize("reason", sorted({*reasons.UNSCHEDULABLE, reasons.PROVISIONING_FAILED}))
def test_every_reason_of_a_refusal_has_a_remedy(reason: str) -> None:
    assert reason in _NAMED


@pytest.mark.parametrize("counter", COUNTERS)
def test_every_counter_of_dropped_packets_is_explained(counter: str) -> None:
    assert counter in _NAMED
