"""The layer of each test: the most it needs, marked by hand and checked when tests are collected.

====== ==========================================================================================
unit   Python alone: neither privileges nor a build nor another program that serves
kernel this host as root: network namespaces, cgroups, disks, or real HAProxy, QEMU, registry, Go
api    a real API server, whatever it needs besides
e2e    a whole cluster with real machines
====== ==========================================================================================
"""

import os
from collections.abc import Mapping
from typing import Final

import pytest

_ROOT: Final = os.geteuid() == 0
LAYERS: Final = ("unit", "kernel", "api", "e2e")
"""From those that need least; they run in this order."""
NEEDS: Final[Mapping[str, str]] = {
    "api_server": "api",
    "guest_image": "kernel",
    "lab": "kernel",
    "registry": "kernel",
    "registry_socket": "kernel",
}
"""The layer of fixtures; tests that use them are at least of it."""


def layer(item: pytest.Item) -> str:
    """Return the layer that a test is marked with.

    Raises:
        ValueError: It has no mark or several, or its fixtures or folder are of another layer.
    """
    marked = sorted({mark.name for mark in item.iter_markers()} & set(LAYERS), key=LAYERS.index)
    if len(marked) != 1:
        raise ValueError(f"{item.nodeid}: marked {' and '.join(marked) or 'with no layer'}")
    (chosen,) = marked
    used = {NEEDS[name]: name for name in getattr(item, "fixturenames", ()) if name in NEEDS}
    needed = max(used, key=LAYERS.index, default="")
    if (chosen == "e2e") != (item.path.parent.name == "e2e"):
        raise ValueError(f"{item.nodeid}: marked {chosen} in {item.path.parent.name}/")
    if needed and chosen not in (needed, "e2e"):
        raise ValueError(
            f"{item.nodeid}: marked {chosen}, but its fixture {used[needed]} is of {needed}"
        )
    return chosen


def sort(items: list[pytest.Item]) -> None:
    """Put tests that need least first, and leave the kernel's out unless root runs them.

    Raises:
        pytest.UsageError: Some test's layer is missing or contradicts its fixtures.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for item in items:
        try:
            found[item.nodeid] = chosen = layer(item)
            if chosen == "kernel" and not _ROOT:
                item.add_marker(pytest.mark.skip("only root may"))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise pytest.UsageError("mark each test unit, kernel, api or e2e", *problems)
    items.sort(key=lambda item: LAYERS.index(found[item.nodeid]))
