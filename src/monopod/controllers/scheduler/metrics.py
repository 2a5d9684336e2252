"""Metrics of the scheduler."""

from typing import Final

from prometheus_client import Counter

ACTIONS: Final = Counter(
    "monopod_scheduler_steps_total", "Actions taken for pods, by kind.", ["action"]
)
