"""The network from inside pods: what must and what must not be reachable."""

from typing import Any

import pytest
import pytest_asyncio

from monopod.util.process import ProcessError
from tests.e2e.cluster import Namespace, management_address, pod
from tests.framework.eventually import eventually

pytestmark = pytest.mark.e2e

_SERVE = "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 8080 -h /www"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pods(namespace: Namespace, image: str) -> dict[str, str]:
    """Two serving pods behind a service and a headless one; returns their addresses by name."""
    names = ["one", "two"]
    selector = {"app": "pair"}
    await namespace.apply(
        *(
            pod(
                name,
                image,
                _SERVE,
                labels=selector,
                container={
                    "readinessProbe": {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1},
                    "env": [
                        {
                            "name": "HOST_IP",
                            "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}},
                        }
                    ],
                },
            )
            for name in names
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "pair"},
            "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "local"},
            "spec": {
                "selector": selector,
                "internalTrafficPolicy": "Local",
                "ports": [{"port": 80, "targetPort": 8080}],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "headless"},
            "spec": {"clusterIP": "None", "selector": selector, "ports": [{"port": 8080}]},
        },
    )
    await namespace.ready(*names, timeout_s=180)
    return {name: (await namespace.get("pod", name))["status"]["podIP"] for name in names}


@pytest.mark.uml
@pytest.mark.tcg
async def test_pods_reach_each_other(namespace: Namespace, pods: dict[str, str]) -> None:
    assert await namespace.fetch("one", f"http://{pods['two']}:8080/") == "two"
    assert await namespace.fetch("two", f"http://{pods['one']}:8080/") == "one"


@pytest.mark.uml
@pytest.mark.tcg
async def test_services_reach_every_endpoint_including_the_caller(
    namespace: Namespace, pods: dict[str, str]
) -> None:
    """A pod that is picked by its own call reaches itself: the hairpin."""
    seen: set[str] = set()

    async def all_seen() -> bool:
        seen.add(await namespace.fetch("one", "http://pair/"))
        return seen == set(pods)

    await eventually(all_seen, every_s=0, errors=(ProcessError,))


@pytest.mark.row("S17")
async def test_a_local_service_leads_a_pod_to_itself(
    namespace: Namespace, pods: dict[str, str]
) -> None:
    """A pod's machine is its node: no other endpoint is local to it."""
    for caller in pods:

        async def led(caller: str = caller) -> bool:
            return await namespace.reaches(caller, "http://local/")

        await eventually(led, f"service local leads {caller}", 30, every_s=0.2)
    for _ in range(3):
        for name in pods:
            assert await namespace.fetch(name, "http://local/") == name


async def test_headless_services_name_their_pods(
    namespace: Namespace, pods: dict[str, str]
) -> None:
    async def named() -> bool:
        said = await namespace.sh("one", f"nslookup headless.{namespace.name}.svc.cluster.local")
        assert all(address in said for address in pods.values()), said
        return True

    await eventually(named, "both pods are named", 30, every_s=0.2, errors=(ProcessError,))


async def test_api_server_answers_pods(namespace: Namespace, pods: dict[str, str]) -> None:
    """Through its service: a plain request to it is refused in its own words."""
    said = await namespace.sh(
        "one", "timeout 5 wget -O - http://kubernetes.default.svc:443/version 2>&1 || true"
    )
    assert "400 Bad Request" in said


@pytest.mark.row("S16")
async def test_node_names_resolve(namespace: Namespace, pods: dict[str, str]) -> None:
    node = (await namespace.get("pod", "two"))["spec"]["nodeName"]
    assert pods["two"] in await namespace.sh("one", f"nslookup {node}")


@pytest.mark.uml
@pytest.mark.row("S19")
@pytest.mark.parametrize("address", ["169.254.169.254:80", "169.254.170.2:80"])
async def test_metadata_service_is_unreachable(
    namespace: Namespace, pods: dict[str, str], address: str
) -> None:
    assert await _blocked(namespace, address)


@pytest.mark.row("S17")
@pytest.mark.parametrize(
    "address", ["100.127.{transit}.6:2379", "100.127.{transit}.1:22", "100.127.{transit}.6:10259"]
)
async def test_host_and_control_plane_are_unreachable(
    namespace: Namespace, pods: dict[str, str], address: str
) -> None:
    server = await namespace.cluster.kubectl(
        "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"
    )
    transit = server.split(".")[2]
    assert await _blocked(namespace, address.format(transit=transit))


@pytest.mark.uml
@pytest.mark.row("S5")
async def test_management_addresses_of_others_are_unreachable(
    namespace: Namespace, pods: dict[str, str]
) -> None:
    management = await management_address(namespace, "two")
    assert management != pods["two"]
    for address in (management, pods["two"]):
        assert await _blocked(namespace, f"{address}:10250")


@pytest.mark.uml
@pytest.mark.row("S22")
async def test_a_pods_host_has_the_pods_address(namespace: Namespace, pods: dict[str, str]) -> None:
    """As on Fargate: who calls a pod by its host's address, or its node's, calls the pod."""
    two = await namespace.get("pod", "two")
    assert two["status"]["hostIP"] == pods["two"]
    assert two["status"]["hostIPs"] == [{"ip": pods["two"]}]
    said = await namespace.sh("two", "echo $HOST_IP")
    assert said.strip() == pods["two"]
    node = await namespace.cluster.get("node", two["spec"]["nodeName"])
    name = node["metadata"]["labels"]["kubernetes.io/hostname"]
    shown = {each["type"]: each["address"] for each in node["status"]["addresses"]}
    assert shown == {"InternalIP": pods["two"], "InternalDNS": name, "Hostname": name}
    assert await namespace.fetch("one", f"http://{pods['two']}:8080/") == "two"


@pytest.mark.row("S17")
async def test_network_policies_say_which_pods_reach_which(
    namespace: Namespace, pods: dict[str, str]
) -> None:
    async def until(wanted: bool) -> None:
        async def is_so() -> bool:
            return await namespace.reaches("one", f"http://{pods['two']}:8080/") == wanted

        await eventually(is_so, f"one reaches two: {wanted}", 30, every_s=0.2)

    await namespace.apply(_policy("deny", policyTypes=["Ingress", "Egress"]))
    await until(False)
    assert await _blocked(namespace, "kubernetes.default.svc:443")
    pair = [{"podSelector": {"matchLabels": {"app": "pair"}}}]
    resolver = {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}, "namespaceSelector": {}}
    names = {"to": [resolver], "ports": [{"port": 53, "protocol": "UDP"}]}
    ports = [{"port": 8080}]
    await namespace.apply(
        _policy(
            "allow",
            ingress=[{"from": pair, "ports": ports}],
            egress=[{"to": pair, "ports": ports}, names],
        )
    )
    await until(True)
    assert await namespace.fetch("one", "http://pair/") in pods
    await namespace.kubectl("delete", "networkpolicies", "deny", "allow")


@pytest.mark.row("S5")
async def test_security_group_policies_put_pods_in_groups(
    namespace: Namespace, image: str, pods: dict[str, str]
) -> None:
    """Rules are the group's, not the pod's: they change under it."""
    labels = {"app": "kept"}
    group = f"sg-{namespace.name}"
    https = {"protocol": "tcp", "groups": ["sg-cluster"]}

    def shut(port: int) -> dict[str, Any]:
        rules = [{**https, "fromPort": port, "toPort": port}]
        return {
            "apiVersion": "monopod.dev/v1alpha1",
            "kind": "SecurityGroup",
            "metadata": {"name": group},
            "spec": {"vpc": "default", "ingress": rules},
        }

    policy = {
        "apiVersion": "vpcresources.k8s.aws/v1beta1",
        "kind": "SecurityGroupPolicy",
        "metadata": {"name": "kept"},
        "spec": {
            "podSelector": {"matchLabels": labels},
            "securityGroups": {"groupIds": [group]},
        },
    }
    forged = {"fargate.amazonaws.com/pod-sg": "sg-cluster"}
    wanted = pod("kept", image, _SERVE, labels=labels)
    wanted["metadata"]["annotations"] = forged
    await namespace.apply(shut(9), policy, wanted)
    await namespace.ready("kept", timeout_s=120)
    kept = await namespace.get("pod", "kept")
    address = kept["status"]["podIP"]
    assert kept["metadata"]["annotations"]["fargate.amazonaws.com/pod-sg"] == group
    # Ready, though its kubelet's port is in no rule: probes and logs go another way.
    assert await _blocked(namespace, f"{address}:8080")
    assert pods["one"] in await namespace.sh(
        "kept", f"nslookup headless.{namespace.name}.svc.cluster.local"
    )
    assert not await namespace.reaches("kept", f"http://{pods['one']}:8080/")
    with pytest.raises(ProcessError, match="annotation is not set by mutating webhook"):
        await namespace.kubectl("annotate", "pod", "kept", "--overwrite", f"{next(iter(forged))}=")
    await namespace.apply(shut(8080))

    async def opened() -> bool:
        return not await _blocked(namespace, f"{address}:8080")

    await eventually(opened, f"{address}:8080 is open", 30)
    assert await namespace.fetch("one", f"http://{address}:8080/") == "kept"
    with pytest.raises(ProcessError, match="has dependent objects: 1 pods are in it"):
        await namespace.kubectl("delete", "sg", group)
    await namespace.kubectl("delete", "pod", "kept")
    await eventually(
        lambda: namespace.kubectl("delete", "sg", group), errors=(ProcessError,), every_s=0.2
    )


def _policy(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {}, **spec},
    }


async def _blocked(namespace: Namespace, address: str) -> bool:
    host, port = address.rsplit(":", 1)
    try:
        await namespace.sh("one", f"nc -w 3 {host} {port} < /dev/null")
    except ProcessError:
        return True
    return False
