"""Images of the cluster's registry: listed, kept while a pod runs them, removed afterwards."""

import pytest

from monopod.build.images import catalogue
from monopod.util import process
from tests.e2e.cluster import Namespace, pod

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
_NAME = "e2e/removable"


async def _rows(namespace: Namespace) -> list[list[str]]:
    """What ``image list`` shows of our repository: tag, digest, and the pods at the end."""
    said = await namespace.cluster.monopod("image", "list")
    rows = [line.split() for line in said.splitlines()]
    return [[row[1], row[2], *row[7:]] for row in rows if row[0] == _NAME]


@pytest.mark.parametrize("driver", ["gvisor"], scope="module")
async def test_images_in_use_are_kept_and_others_can_be_removed(namespace: Namespace) -> None:
    cluster, user = namespace.cluster, f"{namespace.name}/user"
    archive = await catalogue.build_test_image()
    image = (await cluster.monopod("image", "push", f"--name={_NAME}:1", str(archive))).split()[-1]
    await namespace.apply(pod("user", image))
    await namespace.ready("user")
    ((tag, digest, *pods),) = await _rows(namespace)
    assert (tag, pods) == ("1", [user])
    with pytest.raises(process.ProcessError, match=f"{_NAME}:1 is used by {user}"):
        await cluster.monopod("image", "remove", image)

    # The tag is moved; the running image is kept by its digest.
    other = await catalogue.build_demo_image()
    await cluster.monopod("image", "push", f"--name={_NAME}:1", str(other))
    await cluster.monopod("image", "prune")
    assert [digest, user] in [[row[1], *row[2:]] for row in await _rows(namespace)]

    await namespace.kubectl("delete", "pod", "user")
    assert f"removed {_NAME}@{digest}\n" in await cluster.monopod("image", "prune")
    assert f"removed {_NAME}:1\n" in await cluster.monopod("image", "remove", f"{_NAME}:1")
    assert await _rows(namespace) == []
