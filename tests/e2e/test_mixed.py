"""Worker nodes together with Fargate nodes: services reach across, in both directions."""

import os
import signal
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio

from monopod.util.process import ProcessError
from tests.e2e.cluster import Namespace, management_address, pod
from tests.e2e.host import machines_on_host
from tests.framework.eventually import eventually

pytestmark = pytest.mark.e2e

_SERVE = "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 8080 -h /www"
_NODE = "e2e-worker"
_ORDINARY = {"eks.amazonaws.com/compute-type": "ec2"}
_READY = {"readinessProbe": {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1}}
_ON_NODES = ("plain", "neighbour")
_ON_FARGATE = ("apart",)


def _pod(name: str, image: str) -> dict[str, Any]:
    made = pod(name, image, _SERVE, labels={"app": name, "all": "yes"}, container=_READY)
    if name in _ON_NODES:
        made["metadata"]["annotations"] = _ORDINARY
        made["metadata"]["labels"]["on"] = "node"
    return made


def _service(name: str, selector: dict[str, str], **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": ports, **spec},
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mixed(namespace: Namespace, image: str) -> dict[str, str]:
    """Two pods on a worker node and one on Fargate; returns their addresses."""
    cluster = namespace.cluster
    names = (*_ON_NODES, *_ON_FARGATE)
    await namespace.apply(
        *(_pod(name, image) for name in names),
        # A pod finds its own name in its hosts file, and not the service.
        *(_service(f"to-{name}", {"app": name}) for name in names),
        _service("headless", {"all": "yes"}, clusterIP="None"),
        _service("local", {"on": "node"}, internalTrafficPolicy="Local"),
    )
    await cluster.monopod("node", "add", _NODE, timeout_s=240)
    await namespace.ready(*names, timeout_s=180)
    return {name: (await namespace.get("pod", name))["status"]["podIP"] for name in names}


@pytest.mark.row("S22")
async def test_unselected_pods_run_on_the_worker_node_and_others_on_machines(
    namespace: Namespace, mixed: dict[str, str]
) -> None:
    (node,) = (await namespace.cluster.get("nodes", "-l", f"monopod.dev/node={_NODE}"))["items"]
    assert node["metadata"]["name"].startswith("ip-")
    for name in mixed:
        runs_on = (await namespace.get("pod", name))["spec"]["nodeName"]
        assert (runs_on == node["metadata"]["name"]) is (name in _ON_NODES)
    assert _NODE in await namespace.cluster.monopod("node", "list")


@pytest.mark.row("S7")
async def test_services_reach_across_in_both_directions(
    namespace: Namespace, mixed: dict[str, str]
) -> None:
    """By name: to the other kind, to a neighbour on the same node, and each to itself."""
    for caller in mixed:
        for target, address in mixed.items():

            async def answer(caller: str = caller, target: str = target) -> str:
                return await namespace.fetch(caller, f"http://to-{target}/")

            what = f"{caller} reaches to-{target}"
            said = await eventually(answer, what, 30, every_s=0.2, errors=(ProcessError,))
            assert said == target, (caller, target)
            assert await namespace.fetch(caller, f"http://{address}:8080/") == target

        async def named(caller: str = caller) -> bool:
            name = f"headless.{namespace.name}.svc.cluster.local"
            said = await namespace.sh(caller, f"nslookup {name}")
            assert all(address in said for address in mixed.values()), said
            return True

        what = f"all pods are named to {caller}"
        await eventually(named, what, 30, every_s=0.2, errors=(ProcessError,))


@pytest.mark.row("S17")
async def test_a_local_service_stays_on_its_node(
    namespace: Namespace, mixed: dict[str, str]
) -> None:
    seen: set[str] = set()

    async def both_seen() -> bool:
        seen.add(await namespace.fetch("plain", "http://local/"))
        return seen == set(_ON_NODES)

    await eventually(both_seen, every_s=0, errors=(ProcessError,))
    assert not await namespace.reaches("apart", "http://local/")


@pytest.mark.row("S22")
async def test_a_nodes_own_address_answers_for_pods_that_share_it(
    namespace: Namespace, image: str, mixed: dict[str, str]
) -> None:
    """An agent in the node's network is reached at the host's address, from any pod."""
    agent = pod("host-agent", image, _SERVE.replace("8080", "9090"), hostNetwork=True)
    agent["metadata"]["annotations"] = _ORDINARY
    with pytest.raises(ProcessError, match="level baseline of worker nodes: not allowed: hostNet"):
        await namespace.apply(agent)
    relabel = ("label", "namespace", namespace.name)
    await namespace.kubectl(*relabel, "pod-security.kubernetes.io/enforce=privileged")
    await namespace.apply(agent)
    await namespace.ready("host-agent", timeout_s=60)
    status = (await namespace.get("pod", "plain"))["status"]
    address = status["hostIP"]
    assert (await namespace.get("pod", "host-agent"))["status"]["podIP"] == address
    label = f"monopod.dev/node={_NODE}"
    (node,) = (await namespace.cluster.get("nodes", "-l", label))["items"]
    assert {"type": "InternalIP", "address": address} in node["status"]["addresses"]
    url = f"http://{address}:9090/"
    await eventually(lambda: namespace.reaches("plain", url), "the agent serves", 30, every_s=0.2)
    for caller in ("plain", "apart"):
        assert await namespace.fetch(caller, url)
    # Its kubelet is its own pods' too, as on any node, and asks who calls; others do not get to it.
    await namespace.sh("plain", f"nc -w 2 {address} 10250 < /dev/null")
    with pytest.raises(ProcessError):
        await namespace.sh("apart", f"nc -w 2 {address} 10250 < /dev/null")
    await namespace.kubectl("delete", "pod", "host-agent")
    await namespace.kubectl(*relabel, "pod-security.kubernetes.io/enforce-")


@pytest.mark.row("S17")
async def test_policies_and_blocked_addresses_apply_to_pods_on_worker_nodes(
    namespace: Namespace, mixed: dict[str, str]
) -> None:
    management = await management_address(namespace, "apart")
    kubelets = (f"{address} 10250" for address in (management, mixed["apart"]))
    for address in ("169.254.169.254 80", *kubelets):
        with pytest.raises(ProcessError):
            await namespace.sh("plain", f"nc -w 2 {address} < /dev/null")
    # Of an ordinary pod too what its neighbour on the same node sends must pass the router.
    for guarded, welcome in (("apart", "plain"), ("plain", "apart")):
        await namespace.apply(_only_from(guarded, welcome))
        address = f"{mixed[guarded]}:8080"

        async def shut(url: str = f"http://{address}/") -> bool:
            return not await namespace.reaches("neighbour", url)

        await eventually(shut, f"the policy of {guarded}", 30, every_s=0)
        assert not await namespace.reaches("neighbour", f"http://to-{guarded}/")
        for host in (address, f"to-{guarded}"):
            assert await namespace.fetch(welcome, f"http://{host}/") == guarded
        await namespace.kubectl("delete", "networkpolicy", guarded)


def _only_from(guarded: str, welcome: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": guarded},
        "spec": {
            "podSelector": {"matchLabels": {"app": guarded}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": welcome}}}]}],
        },
    }


@pytest.mark.row("S3")
async def test_a_worker_node_whose_machine_is_killed_is_relaunched(
    namespace: Namespace, mixed: dict[str, str]
) -> None:
    cluster = namespace.cluster
    machines = (await cluster.get("microvms", "-l", f"monopod.dev/node={_NODE}"))["items"]
    (name,) = [each["metadata"]["name"] for each in machines]
    before = await _boot(namespace)
    for pid in machines_on_host(cluster.home)[name]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    async def boots() -> bool:
        return await _boot(namespace) not in ("", before)

    async def serves() -> bool:
        assert await namespace.fetch("apart", "http://to-plain/") == "plain"
        return True

    await eventually(boots, "another kernel on the node", 120, every_s=0.2)
    await eventually(serves, errors=(ProcessError,), every_s=0.2)


async def _boot(namespace: Namespace) -> str:
    """What the node says of its present kernel; nothing while there is none."""
    label = f"monopod.dev/node={_NODE}"
    for node in (await namespace.cluster.get("nodes", "-l", label))["items"]:
        return node["status"].get("nodeInfo", {}).get("bootID", "")
    return ""


@pytest.mark.row("S9")
async def test_a_daemon_set_runs_on_worker_nodes_only_and_a_removed_node_leaves_nothing(
    namespace: Namespace, image: str, mixed: dict[str, str]
) -> None:
    template = pod("agent", image)
    template["metadata"]["annotations"] = _ORDINARY
    await namespace.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "agent"},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {
                    "metadata": template["metadata"],
                    "spec": {"containers": template["spec"]["containers"]},
                },
            },
        }
    )
    await namespace.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
    status = (await namespace.get("daemonset", "agent"))["status"]
    assert status["desiredNumberScheduled"] == status["numberReady"] == 1
    await namespace.cluster.monopod("node", "remove", _NODE)
    assert (await namespace.cluster.get("nodes", "-l", f"monopod.dev/node={_NODE}"))["items"] == []
    assert _NODE not in await namespace.cluster.monopod("node", "list")
