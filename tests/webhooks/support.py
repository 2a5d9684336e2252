"""What the tests of admission share."""

import base64
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from monopod.api.resources import FargateProfile
from tests.framework import builders

T = TypeVar("T")


def profile(name: str, namespace: str, **labels: str) -> FargateProfile:
    return builders.profile(name, selectors=[{"namespace": namespace, "labels": labels}])


class Profiles:
    """A source of profiles that a test fills; what is read may be newer than what is known."""

    def __init__(
        self, *known: FargateProfile, stored: Sequence[FargateProfile] | None = None
    ) -> None:
        self._known = known
        self._stored = known if stored is None else stored
        self.reads = 0
        self.error: Exception | None = None

    def known(self) -> Sequence[FargateProfile]:
        return self._known

    async def read(self) -> Sequence[FargateProfile]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self._stored


def pod(*, labels: Any = None, annotations: Any = None, **spec: Any) -> dict[str, Any]:
    metadata = {"generateName": "web-", "labels": labels, "annotations": annotations}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {key: value for key, value in metadata.items() if value is not None},
        "spec": {"containers": [{"name": "main", "image": "x"}], **spec},
    }


def review(pod: Any, namespace: str = "shop", **changes: Any) -> dict[str, Any]:
    """The review that the API server sends for a pod's creation."""
    gvk, gvr = {"group": "", "version": "v1", "kind": "Pod"}, {"group": "", "version": "v1"}
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": gvk,
        "resource": gvr | {"resource": "pods"},
        "requestKind": gvk,
        "requestResource": gvr | {"resource": "pods"},
        "namespace": namespace,
        "operation": "CREATE",
        "userInfo": {"username": "admin", "groups": ["system:authenticated"]},
        "object": pod,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": request | changes,
    }


def profile_review(name: str, **changes: Any) -> dict[str, Any]:
    """The review that the API server sends for a profile's creation."""
    kind = {"group": "monopod.dev", "version": "v1alpha1", "kind": "FargateProfile"}
    return review(None, namespace="", kind=kind, name=name, **changes)


def response(answer: bytes) -> dict[str, Any]:
    """The response inside an answer, its patch decoded."""
    found = json.loads(answer)
    assert (found["apiVersion"], found["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    inner = found["response"]
    if "patch" in inner:
        assert inner["patchType"] == "JSONPatch"
        inner["patch"] = json.loads(base64.b64decode(inner["patch"]))
    return inner
