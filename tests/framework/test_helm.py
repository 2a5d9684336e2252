"""Helm itself: tests of charts rely on these verbs."""

import os
from pathlib import Path
from typing import Final

import pytest
from lightkube.resources.core_v1 import ConfigMap

from monopod.kube import Client, NotFoundError
from monopod.util.process import ProcessError
from tests.apiserver import ApiServer
from tests.framework.helm import Helm, Release

pytestmark = [
    pytest.mark.api,
    pytest.mark.skipif("MONOPOD_LONG_TESTS" not in os.environ, reason="it may build Helm"),
]
FILES: Final = {
    "Chart.yaml": "apiVersion: v2\nname: tried\nversion: 0.1.0\nicon: https://example.test/i.svg\n",
    "values.yaml": "colour: red\n",
    "values.schema.json": '{"properties": {"colour": {"type": "string"}}}',
    "templates/map.yaml": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n"
        "data:\n  colour: {{ .Values.colour }}\n"
    ),
}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        file = tmp_path / "chart" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return tmp_path / "chart"


async def test_a_chart_is_examined_and_rendered(chart: Path, tmp_path: Path) -> None:
    helm = await Helm.of(tmp_path)
    await helm.lint(chart)
    with pytest.raises(ProcessError) as refused:
        await helm.lint(chart, {"colour": 1})
    assert "colour" in refused.value.stdout
    (found,) = await helm.template(chart, {"colour": "blue"}, release=Release("some", "there"))
    assert found["metadata"]["name"] == "some"
    assert found["data"] == {"colour": "blue"}
    (chart / "templates" / "map.yaml").write_text("{{ .Values.")
    with pytest.raises(ProcessError):
        await helm.lint(chart)


async def test_a_release_is_installed_upgraded_and_removed(
    api_server: ApiServer, admin: Client, namespace: str, chart: Path, tmp_path: Path
) -> None:
    helm = await Helm.of(tmp_path, api_server.admin)
    release = Release("some", namespace)

    async def colour() -> object:
        return (await admin.get(ConfigMap, "some", namespace)).data

    await helm.install(chart, release=release)
    assert await colour() == {"colour": "red"}
    with pytest.raises(ProcessError, match=r"re-use|in use"):
        await helm.install(chart, release=release)
    await helm.upgrade(chart, {"colour": "green"}, release=release)
    assert await colour() == {"colour": "green"}
    await helm.uninstall(release=release)
    with pytest.raises(NotFoundError):
        await colour()
