"""What a pod gets whose service account is annotated with a role."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.webhooks.pod_view import PodView
from monopod.webhooks.review import Operation
from monopod.webhooks.web_identity import DIRECTORY, VOLUME, Role, grant, role_of

pytestmark = pytest.mark.unit

_ARN = "arn:aws:iam::111122223333:role/reader"
_TOKEN = f"{DIRECTORY}/token"


def _patched(spec: dict[str, Any], operations: Any) -> dict[str, Any]:
    """Carry out a patch that adds, as RFC 6902 has it."""
    whole: dict[str, Any] = {"spec": msgspec.json.decode(msgspec.json.encode(spec))}
    for each in operations:
        assert each["op"] == "add"
        *way, last = each["path"].strip("/").split("/")
        place: Any = whole
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if isinstance(place, list):
            assert last == "-"
            place.append(each["value"])
        else:
            place[last] = each["value"]
    return whole["spec"]


def _view(spec: dict[str, Any], annotations: Mapping[str, str] | None = None) -> PodView:
    return msgspec.convert({"metadata": {"annotations": annotations}, "spec": spec}, PodView)


def _granted(
    spec: dict[str, Any], role: Role | None = None, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    view = _view(spec, annotations or {})
    return _patched(spec, grant(view, role or Role(_ARN)))


def test_every_container_finds_its_role() -> None:
    found = _granted({"containers": [{"name": "a"}], "initContainers": [{"name": "b"}]})
    for container in (*found["containers"], *found["initContainers"]):
        assert {each["name"]: each["value"] for each in container["env"]} == {
            "AWS_STS_REGIONAL_ENDPOINTS": "regional",
            "AWS_ROLE_ARN": _ARN,
            "AWS_WEB_IDENTITY_TOKEN_FILE": _TOKEN,
        }
        assert container["volumeMounts"] == [
            {"name": VOLUME, "mountPath": DIRECTORY, "readOnly": True}
        ]
    token = {"audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"}
    assert found["volumes"] == [
        {"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}}
    ]


def test_what_the_author_has_set_stays() -> None:
    own = {"name": "AWS_ROLE_ARN", "value": "mine"}
    mount = {"name": "other", "mountPath": f"{DIRECTORY}/"}
    spec = {
        "containers": [{"name": "a", "env": [own], "volumeMounts": [mount]}],
        "volumes": [{"name": "other"}],
    }
    found = _granted(spec)
    container = found["containers"][0]
    assert container["env"][0] == own
    assert [each["name"] for each in container["env"]].count("AWS_ROLE_ARN") == 1
    assert container["volumeMounts"] == [mount]
    assert [each["name"] for each in found["volumes"]] == ["other", VOLUME]


def test_the_pod_may_skip_containers_and_ask_for_a_lifetime() -> None:
    annotations = {
        "eks.amazonaws.com/skip-containers": "a, c",
        "eks.amazonaws.com/token-expiration": "3600",
    }
    spec = {"containers": [{"name": name} for name in "abc"]}
    found = _granted(spec, annotations=annotations)
    assert ["env" in each for each in found["containers"]] == [False, True, False]
    source = found["volumes"][0]["projected"]["sources"][0]
    assert source["serviceAccountToken"]["expirationSeconds"] == 3600
    annotations["eks.amazonaws.com/skip-containers"] = "a,b,c"
    assert _granted(spec, annotations=annotations) == spec


def test_twice_is_once() -> None:
    once = _granted({"containers": [{"name": "a"}]})
    assert _granted(once) == once


def test_the_region_is_set_only_on_request() -> None:
    view = _view({"containers": [{"name": "a"}]})

    def names(operations: Any) -> set[str]:
        return {each["name"] for each in operations[0]["value"]}

    regions = {"AWS_REGION", "AWS_DEFAULT_REGION"}
    assert not regions & names(grant(view, Role(_ARN)))
    assert regions < names(grant(view, Role(_ARN), "local-1"))


@pytest.mark.parametrize(
    ("said", "role"),
    [
        ({}, None),
        ({"role-arn": " "}, None),
        ({"role-arn": _ARN}, Role(_ARN)),
        ({"role-arn": _ARN, "audience": "vault"}, Role(_ARN, "vault")),
        ({"role-arn": _ARN, "token-expiration": "1"}, Role(_ARN, expiration_s=600)),
        ({"role-arn": _ARN, "token-expiration": "soon"}, Role(_ARN)),
        ({"role-arn": _ARN, "token-expiration": "9" * 30}, Role(_ARN, expiration_s=2**32)),
        ({"role-arn": _ARN, "sts-regional-endpoints": "false"}, Role(_ARN, regional=False)),
    ],
)
def test_annotations(said: dict[str, str], role: Role | None) -> None:
    assert role_of({f"eks.amazonaws.com/{key}": text for key, text in said.items()}) == role


_names = st.sampled_from(["a", "b", "AWS_ROLE_ARN", "AWS_REGION", VOLUME])
_containers = st.fixed_dictionaries(
    {"name": _names},
    optional={
        "env": st.lists(st.fixed_dictionaries({"name": _names})) | st.none(),
        "volumeMounts": st.lists(
            st.fixed_dictionaries({"mountPath": st.sampled_from(["/", DIRECTORY])})
        ),
    },
)


@given(
    st.fixed_dictionaries(
        {"containers": st.lists(_containers, max_size=3)},
        optional={
            "initContainers": st.lists(_containers, max_size=2) | st.none(),
            "volumes": st.lists(st.fixed_dictionaries({"name": _names})) | st.none(),
        },
    )
)
def test_any_pod_is_given_each_thing_once(spec: dict[str, Any]) -> None:
    found = _granted(spec)
    containers = [*found["containers"], *(found.get("initContainers") or ())]
    for each in containers:
        names = [variable["name"] for variable in each["env"]]
        assert {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} <= set(names)
        assert DIRECTORY in {mount["mountPath"] for mount in each["volumeMounts"]}
    assert _granted(found) == found
    operations: list[Operation] = list(grant(_view(found), Role(_ARN)))
    assert operations == []
