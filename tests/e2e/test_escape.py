"""What an attacker with root in a machine, having escaped a container, can and cannot reach.

The way in is a pod in its machine's own namespaces with every capability. The scheduler refuses
such pods and asks for no machine, so the test asks for it, as only an administrator can.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest
import pytest_asyncio

from monopod.node.net import addresses
from monopod.node.net.cluster_network import (
    API_PORT,
    EKS_PORT,
    KUBELET_PORT,
    REGISTRY_PORT,
    ClusterNetwork,
)
from monopod.node.net.firewall import Firewall
from monopod.node.net.namespaces import Namespace as NetworkNamespace
from monopod.node.net.router_state import read_router_state
from monopod.node.net.topology import find_transit
from monopod.settings import Settings
from monopod.util import process
from tests.e2e.cluster import Namespace, ask_for_machine, management_address, pod
from tests.e2e.images import PYTHON, python_image
from tests.framework.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]
_ETCD, _SSH, _SCHEDULER = 2379, 22, 10259
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_SILENT_FOR_S = 1.5

_TOOLS = f"""
import errno, fcntl, json, socket, ssl, struct, sys

def call(source, address, port):
    with socket.socket() as own:
        own.settimeout({_SILENT_FOR_S})
        try:
            if source:
                own.bind((source, 0))
            own.connect((address, port))
        except TimeoutError:
            return "silence"
        except OSError as error:
            return errno.errorcode[error.errno]
        return "open"

def http(method, address, port, path, account=""):
    head, trust = "", ssl._create_unverified_context()
    if account:
        trust = ssl.create_default_context(cafile=account + "/ca.crt")
        head = "Authorization: Bearer " + open(account + "/token").read() + "\\r\\n"
    to = socket.create_connection((address, port), 5)
    with trust.wrap_socket(to, server_hostname=address) as own:
        head = f"{{method}} {{path}} HTTP/1.0\\r\\nContent-Length: 0\\r\\n{{head}}\\r\\n"
        own.sendall(head.encode())
        return own.makefile("rb").readline().decode().split(" ", 1)[1].strip()

def own_end():
    for _, name in socket.if_nameindex():
        with socket.socket() as own:
            # SIOCGIFHWADDR: gVisor's packet sockets do not know their link's address.
            asked = fcntl.ioctl(own, 0x8927, struct.pack("16s16x", name.encode()))
        if asked[18:20] == bytes.fromhex("026d"):
            return name, asked[18:24]

def frame(kind, payload, to="{addresses.GATEWAY_MAC}"):
    name, mac = own_end()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as own:
        own.bind((name, 0))
        own.send(bytes.fromhex(to.replace(":", "")) + mac + struct.pack("!H", kind) + payload)
    return "sent"

def checksum(data):
    total = sum(struct.unpack(f"!{{len(data) // 2}}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

def forge(source, target, port):
    # UDP without a checksum, as IPv4 allows.
    datagram = struct.pack("!HHHH", 4000, port, 8, 0)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0)
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    sum_ = struct.pack("!H", checksum(head + ends))
    return frame(0x0800, head[:10] + sum_ + ends + datagram)

def say(operation, sender, target):
    mac, ends = own_end()[1], [socket.inet_aton(each) for each in (sender, target)]
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + ends[0] + mac + ends[1]
    return frame(0x0806, arp, to="ff:ff:ff:ff:ff:ff")

def claim(address):
    # A gratuitous ARP reply claiming the address.
    return say(2, address, address)

def ask(sender, address):
    # A request with a spoofed sender, which the receiver caches.
    return say(1, sender, address)

def six(target):
    ends = socket.inet_pton(socket.AF_INET6, "fe80::1") + socket.inet_pton(socket.AF_INET6, target)
    return frame(0x86DD, struct.pack("!IHBB", 6 << 28, 0, 59, 64) + ends)

def claim_six(address):
    # An unsolicited neighbour advertisement.
    mac, ip = own_end()[1], socket.inet_pton(socket.AF_INET6, address)
    to = socket.inet_pton(socket.AF_INET6, "ff02::1")
    said = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + ip + bytes([2, 1]) + mac
    sum_ = checksum(ip + to + struct.pack("!II", len(said), 58) + said)
    said = said[:2] + struct.pack("!H", sum_) + said[4:]
    head = struct.pack("!IHBB", 6 << 28, len(said), 58, 255)
    return frame(0x86DD, head + ip + to + said, to="33:33:00:00:00:01")

for name, *words in json.load(sys.stdin):
    print(json.dumps(globals()[name](*words)))
"""


@dataclass(frozen=True)
class Ground:
    """An attacker's machine and another user's machine."""

    namespace: Namespace
    plan: ClusterNetwork
    own: str
    """The management address of the attacker's machine."""
    other: str
    """That of the other machine."""
    other_pod: str
    """Its pod's address; the pod serves on port 8080."""
    router: NetworkNamespace

    async def as_root(self, *deeds: Sequence[object]) -> list[Any]:
        """Run these in the machine in order; returns their results."""
        return await self.in_pod("root", *deeds)

    async def in_pod(self, name: str, *deeds: Sequence[object]) -> list[Any]:
        """Run these in a pod that has Python."""
        words = ("exec", "-i", name, "--", PYTHON, "-c", _TOOLS)
        said = await self.namespace.kubectl(*words, stdin=json.dumps(deeds))
        return [json.loads(line) for line in said.splitlines()]

    async def counters(self) -> Mapping[str, int]:
        return (await read_router_state(Firewall(self.router), self.plan)).counters

    async def blocked(self, counter: str, *deeds: Sequence[object], pod_name: str = "root") -> None:
        """Assert that each of these is dropped and counted."""
        before = (await self.counters())[counter]
        for deed, outcome in zip(deeds, await self.in_pod(pod_name, *deeds), strict=True):
            assert outcome in ("silence", "sent"), (deed, outcome)
        assert (await self.counters())[counter] >= before + len(deeds), (counter, deeds)

    async def unharmed(self) -> None:
        """Assert that permitted traffic works, the attacker's and others'."""
        control = str(self.plan.control.ip)
        outcomes = await self.as_root(
            ("call", "", control, API_PORT),
            ("http", "GET", control, REGISTRY_PORT, "/v2/"),
        )
        assert outcomes == ["open", "200 OK"]
        said = await self.namespace.sh("other", "timeout 5 wget -q -O - http://third:8080/")
        assert said.strip() == "third"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(
    namespace: Namespace, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Ground:
    cluster = namespace.cluster
    archive = await python_image(tmp_path_factory.mktemp("images"))
    python = (await cluster.monopod("image", "push", str(archive))).splitlines()[-1]
    serve = "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 8080 -h /www"
    root = pod(
        "root",
        python,
        container={
            "command": [PYTHON, "-c", "import signal; signal.pause()"],
            "securityContext": {"privileged": True},
        },
        hostNetwork=True,
        hostPID=True,
    )
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "third"},
        "spec": {"selector": {"app": "third"}, "ports": [{"port": 8080}]},
    }
    waits = {"command": [PYTHON, "-c", "import signal; signal.pause()"]}
    scraper = pod("scraper", python, container=waits, serviceAccountName="scraper")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "scraper"}}
    others = [pod(name, image, serve) for name in ("other", "third")]
    await namespace.apply(root, service, account, scraper, *others)
    await ask_for_machine(namespace, "root")
    await namespace.ready("root", "scraper", "other", "third", timeout_s=240)
    await eventually(
        lambda: namespace.reaches("other", "http://third:8080/"), "service third", every_s=0.2
    )
    settings = Settings(home=cluster.home)
    plan = ClusterNetwork(settings.instance, await find_transit(settings.instance))
    return Ground(
        namespace,
        plan,
        await management_address(namespace, "root"),
        await management_address(namespace, "other"),
        (await namespace.get("pod", "other"))["status"]["podIP"],
        NetworkNamespace.named(plan.router_name),
    )


@pytest.mark.uml
@pytest.mark.row("S5")
async def test_root_in_a_machine_reaches_only_what_it_needs(ground: Ground) -> None:
    control, host = str(ground.plan.control.ip), str(ground.plan.host.ip)
    await ground.unharmed()
    await ground.blocked(
        "management_blocked",
        ("call", ground.own, ground.other, KUBELET_PORT),
        ("call", ground.own, ground.other, 1),
        ("call", ground.own, ground.other_pod, 8080),
        ("call", ground.own, control, _ETCD),
        ("call", ground.own, control, _SCHEDULER),
        ("call", ground.own, control, EKS_PORT),
        ("call", ground.own, host, _SSH),
    )
    await ground.blocked(
        "router_blocked", ("call", ground.own, str(addresses.MANAGEMENT_GATEWAY), _SSH)
    )
    await ground.blocked(
        "metadata", ("call", ground.own, "169.254.169.254", 80), ("six", "fd00:ec2::254")
    )
    await ground.unharmed()


@pytest.mark.uml
@pytest.mark.row("S5")
async def test_root_in_a_machine_cannot_spoof_another(ground: Ground) -> None:
    own, target = ground.own, str(ground.plan.resolver)
    strangers = (ground.other, ground.other_pod, str(ground.plan.control.ip), "203.0.113.7")
    await ground.blocked("spoofed", *(("forge", each, target, 53) for each in strangers))
    await ground.blocked("ipv6_blocked", ("claim_six", "fd00:ec2::254"))
    gateway = str(addresses.MANAGEMENT_GATEWAY)
    await ground.blocked(
        "arp_blocked",
        *(("claim", each) for each in (ground.other, ground.other_pod, target, gateway)),
        *(("ask", each, gateway) for each in strangers),
        ("ask", own, ground.other),
    )
    # Others still reach the spoofed machine.
    listed = json.loads(await process.run("ip", "-netns", ground.router.path.name, "-j", "neigh"))
    mac = addresses.guest_mac(IPv4Address(own))
    assert {each["dst"] for each in listed if each.get("lladdr") == mac} == {own}
    await ground.unharmed()


@pytest.mark.row("S5")
async def test_kubelets_serve_metrics_only_to_authorised_service_accounts(
    ground: Ground,
) -> None:
    """As a metrics-server calls them: at the node's address, whose certificate it verifies."""
    cluster, name = ground.namespace.cluster, f"{ground.namespace.name}-scraper"
    metrics = (ground.other_pod, KUBELET_PORT, "/metrics/resource")
    call, get = ("call", "", *metrics[:2]), ("http", "GET", *metrics)
    await ground.blocked("kubelets_blocked", call, pod_name="scraper")
    await ground.blocked("kubelets_blocked", ("call", ground.own, *metrics[:2]), call)
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}}
    reads = {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}
    account = {"name": "scraper", "namespace": ground.namespace.name}
    binding = {
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": name,
        },
        "subjects": [{"kind": "ServiceAccount", **account}],
    }
    await cluster.apply(
        {**role, "kind": "ClusterRole", "rules": [reads]},
        {**role, "kind": "ClusterRoleBinding", **binding},
    )
    try:
        async with asyncio.timeout(30):
            while await ground.in_pod("scraper", call) != ["open"]:
                pass
        outcomes = await ground.in_pod("scraper", (*get, _ACCOUNT), get)
        assert outcomes == ["200 OK", "401 Unauthorized"]
        await ground.blocked(
            "platform_blocked", ("call", "", ground.other, KUBELET_PORT), pod_name="scraper"
        )
        await ground.blocked("kubelets_blocked", call)
    finally:
        await cluster.kubectl("delete", "clusterrolebinding,clusterrole", name)
    async with asyncio.timeout(30):
        while await ground.in_pod("scraper", call) != ["silence"]:
            pass


@pytest.mark.row("S5")
async def test_root_in_a_machine_cannot_write_to_the_registry(ground: Ground) -> None:
    control = str(ground.plan.control.ip)
    held = await _held(ground)
    digest = held[2]
    outcomes = await ground.as_root(
        ("http", "POST", control, REGISTRY_PORT, "/v2/monopod/test/blobs/uploads/"),
        ("http", "DELETE", control, REGISTRY_PORT, "/v2/monopod/test/manifests/1"),
        ("http", "DELETE", control, REGISTRY_PORT, f"/v2/monopod/test/manifests/{digest}"),
    )
    assert [each.split()[0] for each in outcomes] == ["405", "405", "405"]
    assert await _held(ground) == held


async def _held(ground: Ground) -> list[str]:
    """Return repository, tag and digest of the test image in the registry."""
    images = await ground.namespace.cluster.monopod("image", "list")
    (found,) = (line.split()[:3] for line in images.splitlines() if line.startswith("monopod/test"))
    return found
