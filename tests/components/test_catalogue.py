"""The table of components agrees with the modules that pin them."""

import re

import pytest

from monopod.build.components import (
    COMPONENTS,
    E2E_SUITE,
    FORTIO,
    HELM,
    KONNECTIVITY,
    SCANNERS,
    VERTICAL_POD_AUTOSCALER,
    Component,
    ComponentsError,
    module_version,
)
from monopod.build.components.build import content_key
from monopod.build.components.toolchain import Toolchain, needed_version

pytestmark = pytest.mark.unit

_BY_NAME = pytest.mark.parametrize(
    "component",
    (*COMPONENTS, E2E_SUITE, FORTIO, HELM, KONNECTIVITY, VERTICAL_POD_AUTOSCALER, *SCANNERS),
    ids=lambda one: one.name,
)
_KUBE = next(one for one in COMPONENTS if one.name == "kube")


@_BY_NAME
def test_its_module_is_pinned(component: Component) -> None:
    assert re.fullmatch(r"v\d+\.\d+\.\d+(-\d{14}-[0-9a-f]{12})?", component.version)
    for program in component.programs:
        assert "{" not in component.expected_answer(program)
        assert program.file in component.packages


@_BY_NAME
def test_every_built_file_serves_a_program(component: Component) -> None:
    assert {program.file for program in component.programs} == component.packages.keys()


def test_no_two_programs_share_a_name() -> None:
    names = [program.name for component in COMPONENTS for program in component.programs]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("component", [_KUBE, E2E_SUITE], ids=lambda one: one.name)
def test_kubernetes_and_its_staging_modules_are_of_one_release(component: Component) -> None:
    release = _KUBE.version.removeprefix("v1.")
    assert component.version == _KUBE.version
    staged = re.findall(
        r"^\s+k8s\.io/\S+ => k8s\.io/\S+ v0\.(\S+)$",
        (component.directory / "go.mod").read_text(),
        re.MULTILINE,
    )
    assert set(staged) == {release}


@pytest.mark.parametrize("name", ["metrics-server", "e2e"])
def test_what_shares_modules_with_kubernetes_is_built_with_the_same(name: str) -> None:
    """Otherwise what they share is compiled twice, which takes minutes."""
    kube, other = _versions("kube"), _versions(name)
    assert {module: version for module, version in other.items() if module in kube} == {
        module: version for module, version in kube.items() if module in other
    }


def _versions(component: str) -> dict[str, str]:
    """Return the versions that a component is built with, by module."""
    named = next(one for one in (*COMPONENTS, E2E_SUITE) if one.name == component)
    # A replacement changes what is compiled, so a version that is required has to be right.
    required, _, _ = (named.directory / "go.mod").read_text().partition("\nexclude")
    return dict(re.findall(r"^\s+(\S+) (v\S+)", required, re.MULTILINE))


def test_an_unknown_module_has_no_version() -> None:
    with pytest.raises(ComponentsError, match="pins no version of example"):
        module_version("kube", "example.com/none")


def test_the_required_toolchain_is_the_highest_of_all_modules() -> None:
    needed = tuple(int(part) for part in needed_version(COMPONENTS).split("."))
    assert needed >= (1, 26)


def test_a_cache_key_depends_on_the_toolchain() -> None:
    old, new = (Toolchain(go=None, version=v) for v in ("go1.26.6", "go1.26.8"))  # type: ignore[arg-type]
    for component in COMPONENTS:
        assert content_key(component, old) != content_key(component, new)
        assert content_key(component, old) == content_key(component, old)
