"""The layers of the tests: those that need least run first, and ``pytest -m`` chooses among them."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).parent
_LAYERS = ("unit", "api", "e2e")


def _layer(item: pytest.Item) -> str:
    """End-to-end tests have a folder; what asks for an API server tells it by its fixtures."""
    if "e2e" in item.path.relative_to(_ROOT).parts:
        return "e2e"
    return "api" if "api_server" in getattr(item, "fixturenames", ()) else "unit"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        layer = _layer(item)
        if layer != "unit":
            item.add_marker(layer)
    items.sort(key=lambda item: _LAYERS.index(_layer(item)))
