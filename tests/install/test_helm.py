"""Helm's own opinion of the chart."""

import os
from pathlib import Path
from typing import Any, Final

import pytest

from monopod.install.installation import installation
from monopod.install.values import Values
from monopod.util.process import ProcessError
from tests.framework.helm import Helm, Release

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif("MONOPOD_LONG_TESTS" not in os.environ, reason="it builds Helm"),
]
CHART: Final = Path(__file__).resolve().parents[2] / "charts" / "monopod"
VALUES: Final = {"image": {"controllers": "controllers", "launcher": "launcher"}}


@pytest.fixture
async def helm(tmp_path: Path) -> Helm:
    return await Helm.of(tmp_path)


async def test_lint_finds_nothing(helm: Helm) -> None:
    await helm.lint(CHART, VALUES)


async def test_it_renders_what_the_command_applies(helm: Helm) -> None:
    made = installation(Values(controllers_image="controllers", launcher_image="launcher"))
    rendered = {_key(each): each for each in await helm.template(CHART, VALUES)}
    wanted = {_key(each): each for each in made.every}
    space = "monopod-system"
    own = {("Namespace", space, "")}
    added = {("Job", "monopod-check", space), ("Job", "monopod-setup-1", space)}
    jobs = {key for key in wanted if key[0] == "Job"}
    assert rendered.keys() - added == wanted.keys() - own - jobs
    for key in wanted.keys() - own - jobs:
        assert _plain(rendered[key]) == _plain(wanted[key]), key


async def test_cert_manager_makes_the_certificate_if_it_is_chosen(helm: Helm) -> None:
    rendered = await helm.template(CHART, {**VALUES, "certificates": {"manager": "cert-manager"}})
    kinds = [each["kind"] for each in rendered]
    assert (kinds.count("Certificate"), kinds.count("Issuer")) == (2, 2)
    for each in rendered:
        if each["kind"].endswith("WebhookConfiguration"):
            annotations = each["metadata"]["annotations"]
            assert annotations["cert-manager.io/inject-ca-from"].endswith("/monopod-webhooks-tls")


@pytest.mark.parametrize(
    "wrong",
    [
        {"replicas": 0},
        {"replica": 2},
        {"webhooks": {"mode": "off"}},
        {"vpcBlock": "10.0.0.0/8"},
        {"image": {"controllers": "c", "launcher": 1}},
    ],
)
async def test_wrong_values_are_refused(helm: Helm, wrong: dict[str, Any]) -> None:
    with pytest.raises(ProcessError):
        await helm.template(CHART, {**VALUES, **wrong})


async def test_another_namespace_is_refused(helm: Helm) -> None:
    with pytest.raises(ProcessError, match="into the namespace monopod-system"):
        await helm.template(CHART, VALUES, release=Release("monopod", "default"))


def _key(manifest: dict[str, Any]) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata["name"], metadata.get("namespace", "")


def _plain(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest without the annotations that are Helm's alone."""
    metadata = {**manifest["metadata"]}
    ours = {
        key: each
        for key, each in metadata.pop("annotations", {}).items()
        if not key.startswith("helm.sh/")
    }
    return {**manifest, "metadata": metadata | ({"annotations": ours} if ours else {})}
