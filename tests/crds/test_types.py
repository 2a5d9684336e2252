"""The schemas and the types say the same, field by field."""

from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from lightkube.core import resource as res

from monopod.api.crds import manifests
from monopod.api.patch_campaigns import PatchCampaign
from monopod.api.resources import ExecutionRole, FargateProfile, MicroVM, Subnet, Vpc
from monopod.api.security_groups import SecurityGroup, SecurityGroupPolicy
from monopod.api.sidecar_injections import ClusterSidecarInjection, SidecarInjection
from monopod.api.target_groups import TargetGroupBinding

pytestmark = pytest.mark.unit

KINDS: dict[str, Any] = {
    "ClusterSidecarInjection": ClusterSidecarInjection,
    "ExecutionRole": ExecutionRole,
    "FargateProfile": FargateProfile,
    "MicroVM": MicroVM,
    "PatchCampaign": PatchCampaign,
    "SecurityGroup": SecurityGroup,
    "SecurityGroupPolicy": SecurityGroupPolicy,
    "SidecarInjection": SidecarInjection,
    "Subnet": Subnet,
    "TargetGroupBinding": TargetGroupBinding,
    "Vpc": Vpc,
}
SCALARS = {bool: "boolean", str: "string", int: "integer"}
BY_KIND = {each["spec"]["names"]["kind"]: each["spec"] for each in manifests()}


def without_none(annotation: Any) -> Any:
    chosen = [each for each in get_args(annotation) if each is not NoneType]
    return chosen[0] if NoneType in get_args(annotation) else annotation


def compare(where: str, annotation: Any, schema: Mapping[str, Any]) -> None:
    annotation = without_none(annotation)
    if "x-kubernetes-preserve-unknown-fields" in schema:
        assert (get_origin(annotation), schema["type"]) == (dict, "object"), where
    elif annotation in SCALARS:
        assert schema["type"] == SCALARS[annotation], where
    elif annotation is dict:
        assert schema["type"] == "object", where
    elif get_origin(annotation) is list:
        assert schema["type"] == "array", where
        compare(f"{where}[]", get_args(annotation)[0], schema["items"])
    elif get_origin(annotation) is dict:
        assert schema["type"] == "object", where
        compare(f"{where}{{}}", get_args(annotation)[1], schema["additionalProperties"])
    else:
        compare_struct(where, annotation, schema)


def compare_struct(where: str, struct: Any, schema: Mapping[str, Any]) -> None:
    assert schema["type"] == "object", where
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    assert set(schema["properties"]) == set(fields), where
    required = {name for name, field in fields.items() if field.required}
    assert set(schema.get("required", ())) == required, where
    hints = get_type_hints(struct)
    for name, field in fields.items():
        if name not in ("apiVersion", "kind", "metadata"):
            compare(f"{where}.{name}", hints[name], schema["properties"][name])
        # A status is defaulted for those who read it before anybody has written it.
        if "default" in schema["properties"][name] and name != "status":
            assert field.default == schema["properties"][name]["default"], f"{where}.{name}"


@pytest.mark.parametrize("kind", KINDS)
def test_fields_types_defaults_and_what_is_required(kind: str) -> None:
    version = BY_KIND[kind]["versions"][0]
    compare_struct(kind, KINDS[kind], version["schema"]["openAPIV3Schema"])


@pytest.mark.parametrize("kind", KINDS)
def test_names_scope_and_status(kind: str) -> None:
    info = res.api_info(KINDS[kind])
    spec = BY_KIND[kind]
    assert (spec["group"], spec["names"]["plural"]) == (info.resource.group, info.plural)
    scope = "Cluster" if issubclass(KINDS[kind], res.GlobalResource) else "Namespaced"
    assert spec["scope"] == scope
    version = spec["versions"][0]
    assert version["name"] == info.resource.version
    assert ("subresources" in version) is hasattr(KINDS[kind], "Status")


def test_there_is_a_definition_for_each_type_and_no_other() -> None:
    assert set(BY_KIND) == set(KINDS)
