"""A real cluster for each worker of the end-to-end run, a namespace for each module and driver.

Each pytest-xdist worker has its own cluster. Most of a run's time one cluster waits, so two of
them use two processors well.

Every test runs on machines of driver ``gvisor``, the default without KVM, and on ``qemu-kvm`` where
the host can boot a guest under it. Those marked ``uml`` run on ``uml`` too, those marked ``tcg`` on
``qemu-tcg``, which is exact but some ten times slower. Those marked ``linux_kernel`` need what
gVisor lacks, and run on ``uml`` instead of it. With ``MONOPOD_E2E_DRIVERS``, separated by spaces,
all tests run on these drivers instead.
"""

import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from monopod.build.images import catalogue
from monopod.node.provider import report
from monopod.settings import Settings
from tests.e2e.cluster import MONOPOD, Cluster, Namespace
from tests.framework.failures import (
    keeping,
    pytest_runtest_makereport,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
    subject,
)

# Hooks that pytest finds here by name.
__all__ = [
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
]

_KVM = Path("/dev/kvm").exists()
_MARKED = {"uml": "uml", "tcg": "qemu-tcg"}
_REQUESTED = os.environ.get("MONOPOD_E2E_DRIVERS", "").split()
_LAST = ("test_maintenance.py", "test_faults.py", "test_up_down.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that kill parts of the cluster late, and the one that takes it down last."""
    items.sort(key=lambda item: _LAST.index(item.path.name) if item.path.name in _LAST else -1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize tests that run machines with the drivers that they are for."""
    chosen = any(
        "driver" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")
    )
    if "driver" in metafunc.fixturenames and not chosen:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        drivers = ["gvisor", *(name for mark, name in _MARKED.items() if mark in marks)]
        drivers = _REQUESTED or [*drivers, *(["qemu-kvm"] if _KVM else [])]
        if "linux_kernel" in marks:
            drivers = list(dict.fromkeys("uml" if name == "gvisor" else name for name in drivers))
        metafunc.parametrize("driver", drivers, scope="module")


def _need(cluster: Cluster, driver: str) -> None:
    """Skip the test if the host lacks KVM; no other driver may be unavailable."""
    found = report.read(Settings(home=cluster.home))
    assert found is not None
    why = next(each.candidate.unusable for each in found.drivers if each.candidate.name == driver)
    if why and driver == "qemu-kvm":
        pytest.skip(why)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster under test.

    ``MONOPOD_E2E_HOME`` names one that is already up, for test authors; otherwise one is started,
    with its progress on the terminal, and taken down at the end unless
    ``MONOPOD_E2E_KEEP`` is set.
    """
    known = subject(request.config)
    if home := os.environ.get("MONOPOD_E2E_HOME"):
        known.home = Path(home)
        yield Cluster(known.home)
        return
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    made = Cluster(Path("/var/lib") / "-".join(filter(None, ("monopod-e2e", worker))))
    known.home, known.kept = made.home, keeping()
    subprocess.run([MONOPOD, "up", "--no-demo"], env=made.environment, check=True)
    yield made
    if not known.kept:
        subprocess.run([MONOPOD, "down"], env=made.environment, check=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def image(cluster: Cluster) -> str:
    """Push the test image as a user does; returns the name that pods use."""
    archive = await catalogue.build_test_image()
    return (await cluster.monopod("image", "push", str(archive))).splitlines()[-1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def namespace(
    cluster: Cluster, driver: str, request: pytest.FixtureRequest
) -> AsyncIterator[Namespace]:
    """A namespace that a profile selects; it is deleted after the module."""
    _need(cluster, driver)
    module = request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_")
    name = f"e2e-{driver}-" + re.sub(r"[^a-z0-9]+", "-", module)
    profile = f"fp-e2e-{driver}"
    with subject(request.config).namespace(name):
        await cluster.apply(
            {
                "apiVersion": "monopod.dev/v1alpha1",
                "kind": "FargateProfile",
                "metadata": {"name": profile, "annotations": {"monopod.dev/driver": driver}},
                "spec": {
                    "selectors": [{"namespace": f"e2e-{driver}-*"}],
                    "podExecutionRoleArn": "arn:aws:iam::000000000000:role/e2e",
                },
            },
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        )
        # Pods cannot be created before the controller manager has created their account.
        await cluster.kubectl(
            "-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=60s"
        )
        yield Namespace(cluster, name, profile)
        # A test that took its cluster down and failed then has none.
        await cluster.kubectl(
            *("delete", "namespace", name, "--ignore-not-found", "--wait=true", "--timeout=60s")
        )
