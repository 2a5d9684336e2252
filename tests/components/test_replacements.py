"""Upstream's modules have, in the pinned versions, the text that Monopod replaces."""

import pytest

from monopod.build.components import COMPONENTS, Component, module_directory
from monopod.settings import Settings

pytestmark = pytest.mark.kernel

_CHANGED = [one for one in COMPONENTS if one.replacements]


def test_three_components_are_changed() -> None:
    assert [one.name for one in _CHANGED] == ["kube", "runsc", "metrics-server"]


@pytest.mark.parametrize("component", _CHANGED, ids=lambda one: one.name)
async def test_upstream_has_each_replaced_text_once(component: Component) -> None:
    module = await module_directory(component.module, Settings())
    for each in component.replacements:
        assert (module / each.file).read_text().count(each.old) == 1, (each.file, each.old)


async def test_the_kubelets_period_is_for_its_wait_alone() -> None:
    """As the replaced constant is exported, another use would get the shorter period too."""
    module = await module_directory("k8s.io/kubernetes", Settings())
    uses = [
        (path.relative_to(module).as_posix(), line.strip())
        for path in (module / "pkg/kubelet").rglob("*.go")
        for line in path.read_text().splitlines()
        if "WaitForAPIServerSyncPeriod" in line and not line.lstrip().startswith("//")
    ]
    assert uses == [
        (
            "pkg/kubelet/config/apiserver.go",
            "const WaitForAPIServerSyncPeriod = 1 * time.Second",
        ),
        ("pkg/kubelet/config/apiserver.go", "time.Sleep(WaitForAPIServerSyncPeriod)"),
    ]
