"""What of a DaemonSet's template can become sidecars, and what is refused or ignored."""

from typing import Any

import pytest

from monopod.fargate.sidecars import Rules, find_faults, find_ignored
from monopod.fargate.sidecars.template import MOST_BYTES, MOST_CONTAINERS, MOST_VOLUMES
from tests.sidecars.build import NODE_EXPORTER, template

pytestmark = pytest.mark.unit

CLUSTER = Rules(cluster=True, copied=frozenset({"agent-config"}))


def test_a_daemon_sets_typical_needs_are_all_named_at_once() -> None:
    assert find_faults({"spec": NODE_EXPORTER}, Rules()) == [
        "template.spec.hostNetwork: a sidecar has the namespaces of its pod",
        "template.spec.hostPID: a sidecar has the namespaces of its pod",
        "template.spec.containers[node-exporter].securityContext: Capabilities added: SYS_TIME",
        "template.spec.containers[node-exporter].ports: hostPort and hostIP: clients call the pod's"
        " address",
        "template.spec.volumes[root].hostPath: /: a machine has no host path",
    ]


def test_what_belongs_to_the_pod_is_ignored() -> None:
    made = {
        "metadata": {"labels": {"app": "agent"}, "annotations": {}},
        "spec": {
            **NODE_EXPORTER,
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "terminationGracePeriodSeconds": 30,
        },
    }
    assert find_ignored(made) == [
        "template.metadata.labels",
        "template.spec.serviceAccountName",
        "template.spec.tolerations",
    ]
    assert find_ignored({"metadata": ["nonsense"], "spec": {}}) == []


def _agent(**fields: Any) -> dict[str, Any]:
    return {"name": "agent", "image": "agent:1", **fields}


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"containers": []}, "at least one container"),
        ({"containers": "agent"}, "Expected `array`"),
        ({"containers": [_agent(name="")]}, "name: is required"),
        ({"containers": [_agent(), _agent()]}, "two containers are named agent"),
        ({"containers": [_agent(restartPolicy="Never")]}, "restartPolicy: a sidecar's is Always"),
        ({"containers": [_agent(securityContext={"privileged": True})]}, "Privileged"),
        ({"containers": [_agent(volumeDevices=[{"name": "v", "devicePath": "/d"}])]}, "block"),
        ({"containers": [_agent(resources={"limits": {"nvidia.com/gpu": 1}})]}, "nvidia.com/gpu"),
        ({"resources": {"limits": {"cpu": 1}}}, "resources: set the resources of each container"),
        ({"resourceClaims": [{"name": "gpu"}]}, "resourceClaims"),
        ({"securityContext": {"fsGroup": 1}}, "securityContext.fsGroup: cannot be set for some"),
        ({"hostIPC": True}, "hostIPC"),
        ({"volumes": [{"name": "v", "csi": {"driver": "d"}}]}, "volumes[v] is of an unsupported"),
        (
            {"volumes": [{"name": str(n), "emptyDir": {}} for n in range(17)]},
            f"most {MOST_VOLUMES}",
        ),
        ({"containers": [_agent(name=f"a{n}") for n in range(9)]}, f"at most {MOST_CONTAINERS}"),
        ({"containers": [_agent(args=["x" * MOST_BYTES])]}, f"at most {MOST_BYTES}"),
        ({"initContainers": [_agent(ports=[{"containerPort": 1, "hostPort": 1}])]}, "hostPort"),
    ],
)
def test_each_fault_is_found(spec: dict[str, Any], fault: str) -> None:
    found = find_faults(template(**spec) if "containers" not in spec else {"spec": spec}, Rules())
    assert [each for each in found if fault in each], found


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"volumes": [{"name": "v", "configMap": {"name": "other"}}]}, "ConfigMap other"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "Secret s"),
        (
            {"containers": [_agent(envFrom=[{"configMapRef": {"name": "other"}}])]},
            "ConfigMap other",
        ),
        (
            {
                "containers": [
                    _agent(
                        env=[
                            {"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
                        ]
                    )
                ]
            },
            "Secret s",
        ),
        (
            {
                "volumes": [
                    {
                        "name": "v",
                        "projected": {"sources": [{"configMap": {"name": "other"}}]},
                    }
                ]
            },
            "ConfigMap other",
        ),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
            "claims belong to one namespace",
        ),
    ],
)
def test_pods_of_other_namespaces_depend_on_nothing_that_may_be_missing_there(
    spec: dict[str, Any], name: str
) -> None:
    made = template(**spec) if "containers" not in spec else {"spec": spec}
    (fault,) = find_faults(made, CLUSTER)
    assert name in fault
    assert find_faults(made, Rules()) == []


def test_copied_and_optional_objects_may_be_named() -> None:
    volumes = [
        {"name": "a", "configMap": {"name": "agent-config"}},
        {"name": "b", "configMap": {"name": "other", "optional": True}},
        {"name": "c", "secret": {"secretName": "s", "optional": True}},
    ]
    assert find_faults(template(volumes=volumes), CLUSTER) == []
