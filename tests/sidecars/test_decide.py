"""What is done with the injection of a DaemonSet."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from monopod.api import keys
from monopod.api.metadata import annotations_of, meta, name_of, namespace_of
from monopod.api.sidecar_injections import (
    ClusterSidecarInjection,
    RawDaemonSet,
    SidecarInjection,
)
from monopod.controllers.sidecars.decide import (
    Action,
    Create,
    Delete,
    Refuse,
    Replace,
    State,
    decide,
)
from monopod.fargate.sidecars.annotations import BadAnnotationError, parse_labels
from tests.sidecars.build import NODE_EXPORTER, cluster_injection, daemon_set, injection

pytestmark = pytest.mark.unit

KEY = "monitoring/agent"
IN_NAMESPACE = {keys.SIDECAR_INJECTION: "Namespace"}
IN_CLUSTER = {keys.SIDECAR_INJECTION: "Cluster"}


def state(found: RawDaemonSet | None, **changes: Any) -> State:
    return replace(State(KEY, found, None, None), **changes)


def carried_out(before: State, actions: list[Action]) -> State:
    """The state after the API server has done what was decided."""
    for action in actions:
        match action:
            case Create(made) | Replace(made):
                stored = msgspec.convert(msgspec.to_builtins(made), type(made), strict=False)
                field = "namespaced" if isinstance(made, SidecarInjection) else "cluster"
                before = replace(before, **{field: stored})
            case Delete(made):
                field = "namespaced" if isinstance(made, SidecarInjection) else "cluster"
                before = replace(before, **{field: None})
            case Refuse():
                pass
    return before


def test_a_daemon_set_without_the_annotation_makes_none() -> None:
    assert decide(state(daemon_set())) == []
    assert decide(state(None)) == []


def test_the_annotation_makes_one_of_its_namespace_which_goes_with_it() -> None:
    annotations = {**IN_NAMESPACE, keys.SIDECAR_PODS_ANNOTATION: "app=web, tier=front"}
    found = daemon_set(annotations, serviceAccountName="agent", tolerations=[{}])
    (action,) = decide(state(found))
    assert isinstance(action, Create)
    made = action.injection
    assert isinstance(made, SidecarInjection)
    assert (name_of(made), namespace_of(made)) == ("agent", "monitoring")
    assert made.spec.template == {"spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}
    assert made.spec.selector is not None
    assert made.spec.selector.matchLabels == {"app": "web", "tier": "front"}
    (owner,) = meta(made).ownerReferences or []
    assert (owner.kind, owner.uid) == ("DaemonSet", "uid-of-agent")


def test_one_for_the_cluster_selects_namespaces_and_copies_config_maps() -> None:
    annotations = {
        **IN_CLUSTER,
        keys.SIDECAR_NAMESPACES_ANNOTATION: "team=a",
        keys.SIDECAR_CONFIG_MAPS_ANNOTATION: "one, two,one",
        keys.SIDECAR_CREDENTIALS_ANNOTATION: "true",
    }
    (action,) = decide(state(daemon_set(annotations)))
    assert isinstance(action, Create)
    made = action.injection
    assert isinstance(made, ClusterSidecarInjection)
    assert name_of(made) == "monitoring.agent"
    assert annotations_of(made) == {keys.SIDECAR_SOURCE_ANNOTATION: KEY}
    assert made.spec.namespaceSelector is not None
    assert made.spec.namespaceSelector.matchLabels == {"team": "a"}
    assert made.spec.configMaps is not None
    assert (made.spec.configMaps.namespace, made.spec.configMaps.names) == (
        "monitoring",
        ["one", "two"],
    )
    assert made.spec.podCredentials


def test_what_cannot_be_injected_is_kept_so_that_it_is_refused_by_name() -> None:
    (action,) = decide(state(daemon_set(IN_NAMESPACE, **NODE_EXPORTER)))
    assert isinstance(action, Create)
    spec = action.injection.spec.template["spec"]
    assert spec["hostNetwork"]
    assert spec["hostPID"]
    assert "tolerations" not in spec


@pytest.mark.parametrize("annotations", [IN_NAMESPACE, IN_CLUSTER])
def test_every_way_ends_where_nothing_is_to_be_done(annotations: dict[str, str]) -> None:
    other = IN_CLUSTER if annotations is IN_NAMESPACE else IN_NAMESPACE
    now = state(daemon_set(annotations))
    now = carried_out(now, decide(now))
    assert decide(now) == []
    # Another template.
    changed = daemon_set(annotations, containers=[{"name": "agent", "image": "agent:2"}])
    now = replace(now, daemon_set=changed)
    (action,) = decide(now)
    assert isinstance(action, Replace)
    now = carried_out(now, [action])
    assert decide(now) == []
    # Of the other scope: the new one first.
    now = replace(now, daemon_set=daemon_set(other))
    first, second = decide(now)
    assert (type(first), type(second)) == (Create, Delete)
    assert decide(carried_out(now, [first])) == [second]
    now = carried_out(now, [first, second])
    assert decide(now) == []
    # No DaemonSet.
    now = replace(now, daemon_set=None)
    (action,) = decide(now)
    assert isinstance(action, Delete)
    assert decide(carried_out(now, [action])) == []


def test_an_injection_that_a_user_wrote_is_not_touched() -> None:
    for own in (
        {"namespaced": injection(namespace="monitoring")},
        {"cluster": cluster_injection("monitoring.agent")},
    ):
        annotations = IN_NAMESPACE if "namespaced" in own else IN_CLUSTER
        (action,) = decide(state(daemon_set(annotations), **own))
        assert isinstance(action, Refuse)
        assert "is not made from this DaemonSet" in action.message
        assert decide(state(None, **own)) == []


def test_a_bad_annotation_is_refused_and_leaves_what_was_made() -> None:
    made = carried_out(state(daemon_set(IN_NAMESPACE)), decide(state(daemon_set(IN_NAMESPACE))))
    for bad in (
        {keys.SIDECAR_INJECTION: "Galaxy"},
        {**IN_NAMESPACE, keys.SIDECAR_PODS_ANNOTATION: "app in (a,b)"},
    ):
        (action,) = decide(replace(made, daemon_set=daemon_set(bad)))
        assert isinstance(action, Refuse)
        assert "annotation monopod.dev/sidecar-" in action.message


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", {}),
        ("app=web", {"app": "web"}),
        ("a.b/c==d , e=", {"a.b/c": "d", "e": ""}),
        ("app", None),
        ("!app", None),
        ("app!=web", None),
        ("app=web=x", None),
    ],
)
def test_labels_in_annotations(text: str, labels: dict[str, str] | None) -> None:
    if labels is None:
        with pytest.raises(BadAnnotationError, match="is not a label such as app=web"):
            parse_labels("monopod.dev/sidecar-pods", text)
    else:
        assert parse_labels("monopod.dev/sidecar-pods", text) == labels
