"""No body makes the webhook fail: each is answered, or refused with a reason."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.webhooks.profile_finalizer import add_finalizer
from monopod.webhooks.review import BadReviewError
from monopod.webhooks.webhook import Webhook
from tests.webhooks.support import Profiles, pod, profile, profile_review, response, review

pytestmark = pytest.mark.unit

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    ("apiVersion",),
    ("kind",),
    ("request",),
    ("request", "uid"),
    ("request", "kind"),
    ("request", "kind", "kind"),
    ("request", "operation"),
    ("request", "name"),
    ("request", "namespace"),
    ("request", "dryRun"),
    ("request", "object"),
    ("request", "object", "metadata"),
    ("request", "object", "metadata", "labels"),
    ("request", "object", "metadata", "annotations"),
    ("request", "object", "spec"),
    ("request", "object", "spec", "schedulerName"),
    ("request", "object", "spec", "nodeName"),
    ("request", "object", "spec", "priorityClassName"),
]


async def outcome(body: bytes) -> dict[str, Any] | str:
    try:
        return response(await Webhook(Profiles(profile("fp", "*"))).answer(body))
    except BadReviewError as error:
        return str(error)


@given(st.binary() | st.text().map(str.encode) | values.map(lambda v: json.dumps(v).encode()))
async def test_any_bytes(body: bytes) -> None:
    assert isinstance(await outcome(body), str)


@given(st.sampled_from(FIELDS), values)
async def test_any_value_in_any_field(path: tuple[str, ...], value: Any) -> None:
    body = review(pod())
    place: Any = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    found = await outcome(json.dumps(body).encode())
    assert isinstance(found, str) or found["allowed"] is True


@given(
    st.dictionaries(st.text(), st.text()),
    st.dictionaries(st.text(), st.text()),
    st.text(),
)
async def test_any_pod_is_answered(labels: Any, annotations: Any, namespace: str) -> None:
    body = review(pod(labels=labels, annotations=annotations), namespace=namespace)
    found = await outcome(json.dumps(body).encode())
    assert isinstance(found, dict)
    assert found["allowed"] is True


@given(values, st.sampled_from(["CREATE", "UPDATE", "CONNECT"]))
async def test_any_value_as_a_profile(value: Any, operation: str) -> None:
    """And nothing but a new profile gets a patch."""
    metadata = value if isinstance(value, dict) else {"finalizers": value}
    body = profile_review("fp", object={"metadata": metadata}, operation=operation)
    try:
        found = response(await add_finalizer(json.dumps(body).encode()))
    except BadReviewError:
        return
    assert found["allowed"] is True
    assert ("patch" in found) == (operation == "CREATE")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not an AdmissionReview"),
        (b"{}", "missing required field"),
        (b"[" * 100_000, "not an AdmissionReview"),
        (json.dumps(review(pod()) | {"apiVersion": "admission.k8s.io/v1beta1"}).encode(),
         "admission.k8s.io/v1beta1 AdmissionReview is not admission.k8s.io/v1 AdmissionReview"),
        (json.dumps(review({"metadata": {"labels": {"a": 1}}, "spec": {}})).encode(),
         "Expected `str`, got `int`"),
    ],
)  # fmt: skip
async def test_the_error_has_the_reason(body: bytes, why: str) -> None:
    found = await outcome(body)
    assert isinstance(found, str)
    assert why in found
