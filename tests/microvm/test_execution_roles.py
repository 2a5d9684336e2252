"""Execution roles on a real API server, with the process's own permissions."""

import base64
import json
import tomllib
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

import msgspec
import pytest
from lightkube.resources.core_v1 import Pod, Secret

from monopod.api import keys
from monopod.api.conditions import find_condition
from monopod.api.resources import Condition, ExecutionRole, MicroVM
from monopod.controllers.microvm import conditions
from monopod.identity.authority import new_authority
from monopod.identity.pull_grant import PullGrant, RegistryCredential
from monopod.kube import ForbiddenError, NotFoundError, connect, meta, uid_of
from tests.microvm.conftest import USER
from tests.microvm.world import World, eventually

pytestmark = pytest.mark.api


class Granting:
    """Roles and Secrets of one test."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tag = uuid.uuid4().hex[:8]
        self.arn = f"arn:aws:iam::111122223333:role/{self.tag}"
        self._made: list[tuple[type[Any], str, str | None]] = []

    async def role(self, *secrets: str, name: str = "", **spec: Any) -> str:
        name = name or f"role-{self.tag}"
        wanted = {
            "metadata": {"name": name},
            "spec": {"arn": self.arn, "imagePullSecrets": [{"name": s} for s in secrets], **spec},
        }
        self._made.append((ExecutionRole, name, None))
        await self.world.admin.create(msgspec.convert(wanted, ExecutionRole))
        return name

    async def secret(self, registry: str, password: str, name: str = "") -> str:
        name = name or f"{registry.partition('.')[0]}-{self.tag}"
        auth = base64.b64encode(f"me:{password}".encode()).decode()
        content = json.dumps({"auths": {registry: {"auth": auth}}})
        self._made.append((Secret, name, keys.SYSTEM_NAMESPACE))
        wanted = {
            "metadata": {"name": name, "namespace": keys.SYSTEM_NAMESPACE},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(content.encode()).decode()},
        }
        await self.world.admin.apply(msgspec.convert(wanted, Secret))
        return name

    async def files(self, name: str, arn: str | None = None) -> dict[str, bytes]:
        """Launch a machine and return the files of its configuration disk."""
        return dict(self.world.host.machines[await self.launch(name, arn)].files)

    async def launch(self, name: str, arn: str | None = None) -> str:
        """Launch a machine and return its name."""
        world = self.world
        pod = await world.pod(name)
        machine = await world.claim(pod, role=self.arn if arn is None else arn)
        await world.condition(machine, conditions.LAUNCHED)
        return machine

    async def grant(self, machine: str) -> PullGrant:
        """Return what the pull proxy lets a machine pull with the token on its disk."""
        world = self.world
        token = token_of(world.host.machines[machine].files)
        found = await world.machine(machine)
        assert found is not None
        grant = world.pulls.admitted(token, found.status_or_empty.managementAddress)
        assert grant is not None
        return grant

    async def condition(self, name: str, reason: str) -> Condition:
        async def look() -> Condition | None:
            status = (await self.world.admin.get(ExecutionRole, name)).status
            found = find_condition(status.conditions, "Ready") if status else None
            return found if found and found.reason == reason else None

        return await eventually(look, f"{name} is {reason}")

    async def clear(self) -> None:
        for kind, name, namespace in self._made:
            try:
                await self.world.admin.delete(kind, name, namespace)
            except NotFoundError:
                continue


@pytest.fixture
async def granting(world: World) -> AsyncIterator[Granting]:
    made = Granting(world)
    yield made
    await made.clear()


def token_of(files: Mapping[str, bytes]) -> str:
    """Return the token that is on a machine's disk."""
    found = {
        host["header"]["Authorization"].removeprefix("Bearer ")
        for path, content in files.items()
        if path.endswith("/hosts.toml")
        for host in tomllib.loads(content.decode()).get("host", {}).values()
        if "header" in host
    }
    (token,) = found
    return token


@pytest.mark.row("S13")
async def test_a_machine_gets_only_its_roles_credentials(granting: Granting, world: World) -> None:
    other = Granting(world)
    await granting.role(await granting.secret("mine.test", "needle-1"))
    await other.role(await other.secret("theirs.test", "needle-2"))
    try:
        async with world.controller():
            mine, theirs = await granting.launch("mine"), await other.launch("theirs")
            unknown = await granting.files("unknown", arn=granting.arn + "-unknown")
            nameless = await granting.files("nameless", arn="")
            granted = await granting.grant(mine), await other.grant(theirs)
    finally:
        await other.clear()
    for grant, registry, password in zip(
        granted, ("mine.test", "theirs.test"), ("needle-1", "needle-2"), strict=True
    ):
        assert grant.credentials == (RegistryCredential(registry, "me", password),)
        assert f"certs.d/{registry}/hosts.toml" in world.host.machines[grant.machine].files
    # No password is on any disk, and who has a token of another machine has nothing.
    for machine in (mine, theirs):
        files = world.host.machines[machine].files
        assert not any(b"needle" in content for content in files.values())
    assert (
        world.pulls.admitted(token_of(world.host.machines[theirs].files), granted[0].address)
        is None
    )
    for files in (unknown, nameless):
        assert not any(b"Authorization" in content for content in files.values())
    assert world.pulls.machines() == {mine, theirs}


@pytest.mark.row("S13")
async def test_a_machines_token_ends_with_it(granting: Granting, world: World) -> None:
    await granting.role(await granting.secret("mine.test", "needle"))
    async with world.controller():
        deleted, lost = await granting.launch("deleted"), await granting.launch("lost")
        assert world.pulls.machines() == {deleted, lost}
        await world.admin.delete(Pod, "deleted", world.namespace, grace_period_s=0)
        await world.gone(deleted)
        assert world.pulls.machines() == {lost}
        world.host.end(lost)

        async def none_left() -> bool:
            return not world.pulls.machines()

        await eventually(none_left, "no token is left")


async def test_a_token_that_a_dead_controller_left_is_collected(
    granting: Granting, world: World
) -> None:
    world.pulls.write("mvm-0000000000", IPv4Address("100.64.0.99"), "gone", [], {})
    async with world.controller():
        await world.pod("web")
        assert not world.pulls.machines()


async def test_a_changed_secret_takes_effect_with_the_next_machine(
    granting: Granting, world: World
) -> None:
    secret = await granting.secret("mine.test", "old")
    await granting.role(secret)
    async with world.controller():
        before = await granting.launch("before")
        await granting.secret("mine.test", "new")
        after = await granting.launch("after")
        for machine, password in ((before, "old"), (after, "new")):
            (credential,) = (await granting.grant(machine)).credentials
            assert credential.password == password


async def test_the_first_secret_of_a_registry_wins(granting: Granting, world: World) -> None:
    first = await granting.secret("mine.test", "first", f"first-{granting.tag}")
    second = await granting.secret("mine.test", "second", f"second-{granting.tag}")
    await granting.role(first, second)
    async with world.controller():
        (credential,) = (await granting.grant(await granting.launch("web"))).credentials
    assert credential == RegistryCredential("mine.test", "me", "first")


async def test_a_missing_secret_is_reported_on_role_and_pod_and_does_not_block_the_launch(
    granting: Granting, world: World
) -> None:
    there = await granting.secret("mine.test", "needle")
    name = await granting.role("not-there", there)
    async with world.controller():
        grant = await granting.grant(await granting.launch("web"))
        said = (await granting.condition(name, "NotUsable")).message
        event = await world.event("not-there")
    assert said == "Secret monopod-system/not-there does not exist"
    assert event.reason == "ExecutionRoleIncomplete"
    assert event.message == f"ExecutionRole {name}: {said}; the machine starts without it"
    assert [each.password for each in grant.credentials] == ["needle"]


async def test_a_roles_condition_names_its_registries_but_no_secret(
    granting: Granting, world: World
) -> None:
    name = await granting.role(await granting.secret("mine.test", "needle"))
    empty = await granting.role(name=f"taker-{granting.tag}")
    async with world.controller():
        assert (await granting.condition(name, "Usable")).message == (
            "Machines have credentials for mine.test"
        )
        taken = await granting.condition(empty, "ArnTaken")
        assert taken.message == f"ExecutionRole {name} has this ARN and is older"
        await world.admin.delete(ExecutionRole, name)
        await granting.condition(empty, "NothingNamed")


async def test_a_registrys_authority_is_trusted_for_that_registry_only(
    granting: Granting, world: World
) -> None:
    pem = new_authority("registry", datetime.now(UTC)).pair.certificate.decode()
    broken = "-----BEGIN CERTIFICATE-----\nnonsense"
    name = await granting.role(
        registryAuthorities=[
            {"registry": "mine.test:5000", "certificate": pem},
            {"registry": "broken.test", "certificate": broken},
            {"registry": "192.0.2.1:5000", "certificate": pem},
        ]
    )
    async with world.controller():
        files = await granting.files("web")
        said = (await granting.condition(name, "NotUsable")).message
    assert files["certs.d/mine.test:5000/ca.crt"] == pem.encode()
    assert files["certs.d/192.0.2.1:5000/ca.crt"] == b"authority", "of the cluster's own registry"
    assert not any("broken.test" in path for path in files)
    assert said == "The certificate of registry broken.test's authority cannot be read"


@pytest.mark.row("S22")
async def test_secrets_can_be_read_by_name_in_the_system_namespace_only(
    granting: Granting, world: World, namespace: str
) -> None:
    name = await granting.secret("mine.test", "needle")
    async with connect(world.server.kubeconfig(USER), "tests") as machines:
        assert uid_of(await machines.get(Secret, name, keys.SYSTEM_NAMESPACE))
        for elsewhere in (None, keys.SYSTEM_NAMESPACE, namespace):
            with pytest.raises(ForbiddenError):
                await machines.list(Secret, elsewhere)
        with pytest.raises(ForbiddenError):
            await machines.get(Secret, name, namespace)
    for user in ("monopod:fargate-scheduler", "monopod:webhooks", "monopod:vpc"):
        async with connect(world.server.kubeconfig(user), "tests") as other:
            with pytest.raises(ForbiddenError):
                await other.get(Secret, name, keys.SYSTEM_NAMESPACE)


async def test_no_object_contains_a_secret(granting: Granting, world: World) -> None:
    name = await granting.role(await granting.secret("mine.test", "needle-of-role"))
    async with world.controller():
        await granting.files("web")
        await granting.condition(name, "Usable")
    for kind in (ExecutionRole, MicroVM):
        for found in (await world.admin.list(kind)).items:
            assert "needle-of-role" not in repr(found.to_dict()), meta(found).name
