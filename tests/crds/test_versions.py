"""Versions of kinds: none loses a field of another, and the stored one can be changed."""

import copy
import json
import uuid
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition

from monopod.api.crds import manifests
from monopod.controlplane import stored_versions
from monopod.kube import Client
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually

BETA = "monopod.dev/v1beta1"
ALPHA = "monopod.dev/v1alpha1"


@pytest.mark.unit
@pytest.mark.parametrize("definition", manifests(), ids=lambda each: each["metadata"]["name"])
def test_versions_differ_in_their_name_alone_where_nothing_converts(
    definition: dict[str, Any],
) -> None:
    """The API server prunes what a version's schema lacks: without conversion all must be equal."""
    assert "conversion" not in definition["spec"]
    first, *others = definition["spec"]["versions"]
    assert (first["served"], first["storage"]) == (True, True)
    for each in others:
        rest = {"name": first["name"], "storage": True}
        assert {**each, **rest} == first
        assert not each["storage"]


_WORD = st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]", fullmatch=True)
_SELECTORS = st.lists(
    st.fixed_dictionaries(
        {"namespace": _WORD}, optional={"labels": st.dictionaries(_WORD, _WORD, max_size=5)}
    ),
    min_size=1,
    max_size=5,
)
_SPECS = st.fixed_dictionaries(
    {"selectors": _SELECTORS},
    optional={
        "subnets": st.lists(_WORD, min_size=1, max_size=5, unique=True),
        "podExecutionRoleArn": st.just("arn:aws:iam::111122223333:role/pod-execution"),
        "tags": st.dictionaries(_WORD, st.text("abc xyz", max_size=20), max_size=5),
    },
)


def _server(server: ApiServer, verb: str, made: list[dict[str, Any]]) -> str:
    """Send objects; return what the server says against them."""
    # As JSON: kubectl's YAML takes more words for booleans than ours does.
    every = {"apiVersion": "v1", "kind": "List", "items": made}
    done = server.kubectl(verb, "-f", "-", stdin=json.dumps(every))
    return done.stderr if done.returncode else ""


def _read(server: ApiServer, version: str, label: str) -> dict[str, dict[str, Any]]:
    kind = f"fargateprofiles.{version}.monopod.dev"
    done = server.kubectl("get", kind, "-l", f"of={label}", "-o", "json")
    assert done.returncode == 0, done.stderr
    found = {each["metadata"]["name"]: each for each in json.loads(done.stdout)["items"]}
    assert {each.pop("apiVersion") for each in found.values()} == {f"monopod.dev/{version}"}
    return found


@pytest.mark.api
@settings(
    max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(specs=st.lists(_SPECS, min_size=5, max_size=20))
def test_a_profile_is_the_same_in_both_versions(
    api_server: ApiServer, specs: list[dict[str, Any]]
) -> None:
    label = uuid.uuid4().hex[:8]
    made = [
        {
            "apiVersion": (ALPHA, BETA)[number % 2],
            "kind": "FargateProfile",
            "metadata": {"name": f"fp-{label}-{number}", "labels": {"of": label}},
            "spec": spec,
        }
        for number, spec in enumerate(specs)
    ]
    assert _server(api_server, "create", made) == ""
    alpha, beta = (_read(api_server, version, label) for version in ("v1alpha1", "v1beta1"))
    assert alpha == beta
    assert [alpha[f"fp-{label}-{number}"]["spec"] for number in range(len(specs))] == specs
    # Written back as the other version, with a change that is allowed.
    changed = copy.deepcopy(alpha)
    for number, each in enumerate(changed.values()):
        each["apiVersion"] = (BETA, ALPHA)[number % 2]
        each["spec"]["tags"] = {"written": "again"}
    assert _server(api_server, "replace", list(changed.values())) == ""
    for version in ("v1alpha1", "v1beta1"):
        read = _read(api_server, version, label)
        assert {name: each["spec"] for name, each in read.items()} == {
            name: {**each["spec"], "tags": {"written": "again"}} for name, each in alpha.items()
        }
    # And the rules hold in both.
    for version in (ALPHA, BETA):
        bad: dict[str, Any] = {**copy.deepcopy(made[0]), "apiVersion": version}
        bad["spec"]["selectors"] = [{"namespace": "another-one"}]
        assert "immutable" in _server(api_server, "apply", [bad])
    api_server.kubectl("delete", "fargateprofile", "-l", f"of={label}")


@pytest.mark.api
async def test_objects_are_written_in_a_new_stored_version_and_the_old_one_can_go(
    api_server: ApiServer, admin: Client
) -> None:
    """With a copy of a definition, as an upgrade that stores v1beta1 will do."""
    (profile,) = (each for each in manifests() if "fargateprofile" in each["metadata"]["name"])
    definition = yaml.safe_load(yaml.safe_dump(profile).replace("monopod.dev", "copy.example"))
    definition["spec"]["names"].pop("shortNames")
    definition["spec"]["names"]["categories"] = []
    name = definition["metadata"]["name"]
    alpha, beta = definition["spec"]["versions"]

    async def apply() -> None:
        await admin.apply(msgspec.convert(definition, CustomResourceDefinition))

    async def stored() -> list[str]:
        found = await admin.get(CustomResourceDefinition, name)
        return list((found.status and found.status.storedVersions) or ())

    await apply()
    for number in range(3):
        made = {
            "apiVersion": "copy.example/v1alpha1",
            "kind": "FargateProfile",
            "metadata": {"name": f"fp-{number}"},
            "spec": {"selectors": [{"namespace": "shop"}]},
        }

        def create(made: dict[str, Any] = made) -> bool:
            done = api_server.kubectl("create", "-f", "-", stdin=yaml.safe_dump(made))
            return done.returncode == 0

        await eventually(create)
    assert await stored_versions.migrate(admin, [definition]) == 0
    assert await stored() == ["v1alpha1"]

    alpha["storage"], beta["storage"] = False, True
    await apply()
    assert await stored() == ["v1alpha1", "v1beta1"]

    assert await stored_versions.migrate(admin, [definition]) == 3
    assert await stored() == ["v1beta1"]
    assert await stored_versions.migrate(admin, [definition]) == 0
    definition["spec"]["versions"] = [beta]
    await apply()
    read = api_server.kubectl("get", "fargateprofiles.copy.example", "-o", "name")
    assert len(read.stdout.split()) == 3, read.stderr
    await admin.delete(CustomResourceDefinition, name)
