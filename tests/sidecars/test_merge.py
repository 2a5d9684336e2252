"""Merging sidecars into a pod: idempotent, independent of order, and never in the pod's way."""

import copy
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.models.core_v1 import PodSpec

from monopod.api import keys
from monopod.api.sidecar_injections import AnyInjection
from monopod.fargate.sidecars import Sidecars, compile_sidecars, copy_name, is_active
from monopod.fargate.sidecars.compiled import CREDENTIALS_PATH, NO_CREDENTIALS
from monopod.fargate.sizing import parse_milli, requests_of
from monopod.webhooks.pod_view import PodView
from monopod.webhooks.sidecar_mutation import sidecar_patch
from tests.sidecars.build import cluster_injection, injection, template

pytestmark = pytest.mark.unit


def compiled(made: AnyInjection) -> Sidecars:
    found = compile_sidecars(made)
    assert found is not None
    return found


def pod(*names: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": name, "image": "x"} for name in names or ("main",)]
    return {"metadata": {"name": "web"}, "spec": {"containers": containers, **spec}}


def patched(pod: dict[str, Any], *sidecars: Sidecars) -> dict[str, Any]:
    """What the API server makes of the patch."""
    made = copy.deepcopy(pod)
    for each in sidecar_patch(msgspec.convert(pod, PodView), sidecars):
        *way, last = each["path"].strip("/").split("/")
        holder: Any = made
        for step in way:
            holder = holder[int(step)] if isinstance(holder, list) else holder[step]
        last = last.replace("~1", "/").replace("~0", "~")
        value = copy.deepcopy(each.get("value"))
        if isinstance(holder, list):
            assert each["op"] == "add"
            holder.insert(len(holder) if last == "-" else int(last), value)
        elif each["op"] == "remove":
            del holder[last]
        else:
            assert each["op"] == "add" or last in holder
            holder[last] = list(value) if isinstance(value, tuple) else value
    return msgspec.json.decode(msgspec.json.encode(made))


def names_of(pod: dict[str, Any]) -> list[str]:
    spec = pod["spec"]
    return [each["name"] for each in (*spec.get("initContainers", ()), *spec["containers"])]


def annotation(pod: dict[str, Any], name: str = keys.SIDECARS_ANNOTATION) -> str:
    return pod["metadata"].get("annotations", {}).get(name, "")


def test_containers_become_native_sidecars_before_the_pods_own() -> None:
    made = compiled(
        injection(
            generation=3,
            template=template(initContainers=[{"name": "prepare", "image": "agent:1"}]),
        )
    )
    got = patched(pod(initContainers=[{"name": "migrate", "image": "x"}]), made)
    assert names_of(got) == ["prepare", "agent", "migrate", "main"]
    prepare, agent, _ = got["spec"]["initContainers"]
    assert "restartPolicy" not in prepare
    assert agent["restartPolicy"] == "Always"
    assert annotation(got) == "sidecarinjection/agent@3"


def test_a_sidecar_is_sized_into_the_machine() -> None:
    resources = {"requests": {"cpu": "300m", "memory": "1Gi"}}
    made = compiled(
        injection(template=template({"name": "a", "image": "x", "resources": resources}))
    )
    got = patched(pod(), made)
    spec = msgspec.convert(got["spec"], PodSpec)
    assert requests_of(spec, "cpu").milli == 300
    assert requests_of(spec, "memory").whole == 1 << 30


def test_a_pod_with_resources_as_a_whole_stays_valid() -> None:
    """The API server refuses a pod whose containers request more than the pod."""
    resources = {"requests": {"cpu": "300m"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    made = compiled(
        injection(template=template({"name": "a", "image": "x", "resources": resources}))
    )
    whole = {"requests": {"cpu": "1"}, "limits": {"cpu": "1", "memory": "128Mi"}}
    got = patched(pod(resources=whole), made)["spec"]["resources"]
    assert parse_milli(got["requests"]["cpu"]) == 1300
    assert parse_milli(got["limits"]["cpu"]) == 1500
    assert parse_milli(got["limits"]["memory"]) == (192 << 20) * 1000
    assert "memory" not in got["requests"]


def test_a_container_of_the_pods_own_keeps_the_injection_out() -> None:
    two = template({"name": "agent", "image": "a"}, {"name": "helper", "image": "a"})
    got = patched(pod("main", "helper"), compiled(injection(template=two)))
    assert names_of(got) == ["main", "helper"]
    assert "volumes" not in got["spec"]
    assert annotation(got) == ""
    said = annotation(got, keys.SIDECARS_LEFT_OUT_ANNOTATION)
    assert said == "sidecarinjection/agent@1: container helper is the pod's own"


def test_of_two_injections_with_one_name_the_administrators_wins() -> None:
    made = [compiled(injection("a")), compiled(cluster_injection("z")), compiled(injection("b"))]
    for order in itertools.permutations(made):
        got = patched(pod(), *order)
        assert annotation(got) == "clustersidecarinjection/z@1"
        assert annotation(got, keys.SIDECARS_LEFT_OUT_ANNOTATION) == (
            "sidecarinjection/a@1: container agent is of clustersidecarinjection/z; "
            "sidecarinjection/b@1: container agent is of clustersidecarinjection/z"
        )


def test_volumes_of_one_name_do_not_meet() -> None:
    def with_volume(container: str) -> dict[str, Any]:
        mount = {"name": "data", "mountPath": "/data"}
        return template(
            {"name": container, "image": "x", "volumeMounts": [mount]},
            volumes=[{"name": "data", "emptyDir": {}}],
        )

    one = compiled(injection("one", template=with_volume("one")))
    two = compiled(cluster_injection("one", template=with_volume("two")))
    got = patched(pod(volumes=[{"name": "data", "secret": {"secretName": "key"}}]), one, two)
    names = [each["name"] for each in got["spec"]["volumes"]]
    assert len(names) == len(set(names)) == 4
    assert names[0] == "data"
    mounts = [each["volumeMounts"][0]["name"] for each in got["spec"]["initContainers"]]
    assert set(mounts) == {name for name in names if name.endswith("-data")}
    assert all(len(name) <= 63 for name in names)


def test_a_sidecar_has_no_credentials_of_the_pod_unless_requested() -> None:
    got = patched(pod(), compiled(injection()))
    (agent,) = got["spec"]["initContainers"]
    assert agent["volumeMounts"] == [
        {"name": NO_CREDENTIALS, "mountPath": CREDENTIALS_PATH, "readOnly": True}
    ]
    assert annotation(got, "eks.amazonaws.com/skip-containers") == "agent"
    trusted = patched(pod(), compiled(injection(podCredentials=True)))
    assert trusted["spec"]["initContainers"][0]["volumeMounts"] == []
    assert annotation(trusted, "eks.amazonaws.com/skip-containers") == ""


def test_what_the_pod_skips_itself_stays_skipped() -> None:
    own = pod()
    own["metadata"]["annotations"] = {"eks.amazonaws.com/skip-containers": "main"}
    got = patched(own, compiled(injection()))
    assert annotation(got, "eks.amazonaws.com/skip-containers") == "main,agent"


def test_the_templates_security_context_goes_to_its_containers() -> None:
    own = {"name": "agent", "image": "x", "securityContext": {"runAsUser": 7}}
    context = {"runAsUser": 65534, "runAsNonRoot": True}
    made = compiled(injection(template=template(own, securityContext=context)))
    assert made.containers[0]["securityContext"] == {"runAsUser": 7, "runAsNonRoot": True}


def test_copies_of_config_maps_are_named() -> None:
    container = {
        "name": "agent",
        "image": "x",
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/agent"}],
    }
    volumes = [{"name": "config", "configMap": {"name": "settings"}}]
    made = compiled(
        cluster_injection(
            "otel",
            template=template(container, volumes=volumes),
            configMaps={"namespace": "monitoring", "names": ["settings"]},
        )
    )
    name = copy_name("clustersidecarinjection/otel", "settings")
    assert made.containers[0]["envFrom"] == [{"configMapRef": {"name": name}}]
    assert made.volumes[0]["configMap"] == {"name": name}
    assert container["envFrom"] == [{"configMapRef": {"name": "settings"}}]


def test_the_pods_annotation_alone_keeps_nothing_out() -> None:
    own = pod()
    own["metadata"]["annotations"] = {keys.SIDECARS_ANNOTATION: "sidecarinjection/agent@9"}
    got = patched(own, compiled(injection()))
    assert names_of(got) == ["agent", "main"]
    assert annotation(got) == "sidecarinjection/agent@1"


def test_a_copied_pod_keeps_its_generation() -> None:
    old = patched(pod(), compiled(injection(generation=1)))
    again = patched(old, compiled(injection(generation=2)))
    assert again == old


@pytest.mark.parametrize(
    ("status", "observed", "copies", "active"),
    [
        (None, 0, False, True),
        (None, 0, True, False),
        ("True", 1, True, True),
        ("True", 2, True, True),
        ("False", 2, False, False),
        ("False", 1, False, True),
        ("False", 1, True, False),
    ],
)
def test_an_injection_that_would_keep_pods_from_starting_is_not_active(
    status: str | None, observed: int, copies: bool, active: bool
) -> None:
    maps = {"namespace": "m", "names": ["c"]} if copies else None
    made = cluster_injection(generation=2, configMaps=maps)
    if status is not None:
        condition = {"type": "Ready", "status": status, "observedGeneration": observed}
        made = msgspec.convert(
            {**msgspec.to_builtins(made), "status": {"conditions": [condition]}}, type(made)
        )
    assert is_active(made) is active


_NAMES = st.sampled_from(["agent", "proxy", "logs", "main"])


@st.composite
def _injections(draw: st.DrawFn) -> list[AnyInjection]:
    made: list[AnyInjection] = []
    for kind in (injection, cluster_injection):
        for name in draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=3)):
            containers = [
                {
                    "name": each,
                    "image": "x",
                    "resources": {"requests": {"cpu": draw(st.sampled_from(["1m", "250m"]))}},
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                }
                for each in draw(st.lists(_NAMES, unique=True, min_size=1, max_size=3))
            ]
            volumes = [{"name": "v", "emptyDir": {}}]
            made.append(
                kind(
                    name,
                    generation=draw(st.integers(1, 9)),
                    template=template(*containers, volumes=volumes),
                    podCredentials=draw(st.booleans()),
                )
            )
    return made


@st.composite
def _pods(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(_NAMES, unique=True, min_size=1, max_size=3))
    spec: dict[str, Any] = {}
    if draw(st.booleans()):
        spec["initContainers"] = [{"name": "first", "image": "x"}]
    if draw(st.booleans()):
        spec["resources"] = {"requests": {"cpu": "1"}}
    return pod(*names, **spec)


_ORDERS: st.SearchStrategy[tuple[list[AnyInjection], list[AnyInjection]]] = _injections().flatmap(
    lambda made: st.tuples(st.just(made), st.permutations(made))
)


@given(pod=_pods(), orders=_ORDERS)
def test_any_merge_is_idempotent_and_independent_of_order(
    pod: dict[str, Any], orders: tuple[list[AnyInjection], list[AnyInjection]]
) -> None:
    made, shuffled = orders
    sidecars = [compiled(each) for each in made]
    once = patched(pod, *sidecars)
    assert patched(pod, *map(compiled, shuffled)) == once
    assert patched(once, *sidecars) == once
    names = names_of(once)
    assert len(names) == len(set(names))
    assert once["spec"]["containers"] == pod["spec"]["containers"]
    volumes = [each["name"] for each in once["spec"].get("volumes", ())]
    assert len(volumes) == len(set(volumes))
    mounted = {
        mount["name"]
        for each in once["spec"].get("initContainers", ())
        for mount in each.get("volumeMounts", ())
    }
    assert mounted <= set(volumes)
    # Each injection is in it with all of its containers or none, and the annotations say which.
    for each, compiled_one in zip(made, map(compiled, made), strict=True):
        said = str(compiled_one.carried)
        left_out = annotation(once, keys.SIDECARS_LEFT_OUT_ANNOTATION).split("; ")
        carried = said in annotation(once).split(",")
        assert carried != any(text.startswith(f"{said}: ") for text in left_out), each
