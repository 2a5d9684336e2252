"""Load balancers from the host to pods on machines."""

import asyncio
import base64
import json
from collections import Counter
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.cluster import INTERNET_FACING, Namespace, network_balancer
from tests.framework.eventually import eventually
from tests.loadbalancer.test_render import self_signed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
_SERVE = "mkdir -p /www && echo $VERSION > /www/index.html && exec httpd -f -p 8080 -h /www"
_ALB = "alb.ingress.kubernetes.io/"
_GATES = "elbv2.k8s.aws/pod-readiness-gate-inject=enabled"
_WITHIN_S = 60.0


def _deployment(image: str, version: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": image,
        "command": ["sh", "-c", _SERVE],
        "env": [{"name": "VERSION", "value": version}],
        "readinessProbe": {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 3},
            },
        },
    }


def _secret(host: str) -> dict[str, Any]:
    certificate, key = (base64.b64encode(part).decode() for part in self_signed(host))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop"},
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": certificate, "tls.key": key},
    }


def _secure_ingress(host: str) -> dict[str, Any]:
    """Redirects to HTTPS as AWS's guide has it, and checks a path that pods answer with 404."""
    away = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    made = _ingress()
    made["metadata"]["name"] = "secure"
    made["metadata"]["annotations"] |= {
        f"{_ALB}listen-ports": '[{"HTTP": 80}, {"HTTPS": 443}]',
        f"{_ALB}actions.ssl-redirect": json.dumps({"Type": "redirect", "RedirectConfig": away}),
        f"{_ALB}healthcheck-path": "/absent",
        f"{_ALB}healthcheck-interval-seconds": "5",
        f"{_ALB}healthcheck-timeout-seconds": "2",
    }
    (rule,) = made["spec"]["rules"]
    backend = {"service": {"name": "ssl-redirect", "port": {"name": "use-annotation"}}}
    every = {"path": "/*", "pathType": "ImplementationSpecific"}
    rule["host"] = host
    rule["http"]["paths"] = [
        {**every, "backend": backend},
        {**every, "backend": rule["http"]["paths"][0]["backend"]},
    ]
    made["spec"]["tls"] = [{"hosts": [host], "secretName": "shop"}]
    return made


def _ingress() -> dict[str, Any]:
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": "web",
            "annotations": {
                f"{_ALB}scheme": "internet-facing",
                f"{_ALB}target-type": "ip",
            },
        },
        "spec": {
            "ingressClassName": "alb",
            "rules": [{"host": "shop.example.com", "http": {"paths": [path]}}],
        },
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exposed(namespace: Namespace, image: str) -> Namespace:
    """Two pods behind one load balancer of each kind."""
    await namespace.apply(
        _deployment(image, "one"), network_balancer("web", "web", **INTERNET_FACING), _ingress()
    )
    await namespace.kubectl("rollout", "status", "deployment/web", "--timeout=180s", timeout_s=190)
    network = await _place(namespace, "service", "web")
    application = await _place(namespace, "ingress", "web")

    async def served() -> bool:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
            status, _ = await _fetch(http, f"http://{network['ip']}/")
            other, _ = await _fetch(http, f"http://{application['ip']}/", "shop.example.com")
        return status == other == 200

    # Load balancers learn of pods, by their endpoint slices, after these are ready.
    await eventually(served, "both serve", _WITHIN_S, every_s=0.2, errors=(aiohttp.ClientError,))
    return namespace


async def _place(namespace: Namespace, *words: str) -> dict[str, str]:
    async def look() -> dict[str, str] | None:
        status = (await namespace.get(*words))["status"]
        found = status.get("loadBalancer", {}).get("ingress")
        return found[0] if found else None

    return await eventually(look, f"an address of {' '.join(words)}", _WITHIN_S, every_s=0.2)


async def _pods(namespace: Namespace) -> list[dict[str, Any]]:
    return (await namespace.get("pods", "-l", "app=web"))["items"]


async def _fetch(http: aiohttp.ClientSession, url: str, host: str = "") -> tuple[int, str]:
    headers = {"Host": host} if host else {}
    async with http.get(url, headers=headers) as answer:
        return answer.status, (await answer.text()).strip()


@pytest.mark.row("S6")
async def test_both_kinds_serve_from_the_host_and_from_a_pod(exposed: Namespace) -> None:
    network = await _place(exposed, "service", "web")
    application = await _place(exposed, "ingress", "web")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        assert await _fetch(http, f"http://{network['ip']}/") == (200, "one")
        url = f"http://{application['ip']}/"
        assert await _fetch(http, url, "shop.example.com") == (200, "one")
        assert (await _fetch(http, url, "other.example.com"))[0] == 404
    name = (await _pods(exposed))[0]["metadata"]["name"]
    said = await exposed.sh(name, f"timeout 10 wget -q -O - http://{network['hostname']}/")
    assert said.strip() == "one"


@pytest.mark.row("S6")
async def test_instance_targets_are_refused_with_a_clear_event(exposed: Namespace) -> None:
    await exposed.apply(network_balancer("nodes", "web", nlb_target_type="instance"))

    async def reported() -> bool:
        said = await exposed.kubectl("get", "events", "-o", "custom-columns=M:.message")
        assert "instance targets are not supported" in said
        return True

    await eventually(reported, "an event", _WITHIN_S, every_s=0.2)


@pytest.mark.row("S6")
async def test_an_application_load_balancer_behaves_as_on_aws(exposed: Namespace) -> None:
    """Redirects once, takes long headers, and passes requests on when no target is healthy."""
    host = "secure.example.com"
    await exposed.apply(_secret(host), _secure_ingress(host))
    place = (await _place(exposed, "ingress", "secure"))["ip"]
    long = {f"X-{number}": "a" * 3000 for number in range(7)}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        sent = http.get(f"http://{place}/a?b=c", headers={"Host": host}, allow_redirects=False)
        async with sent as answer:
            assert answer.status == 301
            assert answer.headers["Location"] == f"https://{host}/a?b=c"
        seen: Counter[tuple[int, str]] = Counter()
        # The first failed check, after 5 s at most, takes a new target out of use.
        until = asyncio.get_running_loop().time() + 7
        while asyncio.get_running_loop().time() < until:
            headers = {"Host": host, **long}
            sent = http.get(f"https://{place}/", headers=headers, ssl=False, allow_redirects=False)
            async with sent as answer:
                seen[answer.status, (await answer.text()).strip()] += 1
            await asyncio.sleep(0.1)
    assert set(seen) == {(200, "one")}, seen
    # Pods that come later would wait for its health checks.
    await exposed.kubectl("delete", "ingress/secure", "secret/shop")


@pytest.mark.row("S6")
async def test_no_request_fails_while_every_pod_is_replaced(exposed: Namespace, image: str) -> None:
    network = await _place(exposed, "service", "web")
    application = await _place(exposed, "ingress", "web")
    seen: Counter[str] = Counter()
    over = asyncio.Event()

    async def load(url: str, host: str = "") -> None:
        connector = aiohttp.TCPConnector(force_close=True)
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            while not over.is_set():
                try:
                    status, said = await _fetch(http, url, host)
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    seen[f"{url}: {error!r}"] += 1
                else:
                    seen[said if status == 200 else f"{url}: {status}"] += 1
                await asyncio.sleep(0.02)

    old = [f"pod/{each['metadata']['name']}" for each in await _pods(exposed)]
    # From here on pods are ready when both load balancers have found them healthy.
    await exposed.cluster.kubectl("label", "namespace", exposed.name, _GATES)
    async with asyncio.TaskGroup() as group:
        group.create_task(load(f"http://{network['ip']}/"))
        group.create_task(load(f"http://{application['ip']}/", "shop.example.com"))
        await exposed.apply(_deployment(image, "two"))
        await exposed.kubectl(
            "rollout", "status", "deployment/web", "--timeout=240s", timeout_s=250
        )
        await exposed.kubectl("wait", "--for=delete", *old, "--timeout=60s")
        over.set()
    assert set(seen) == {"one", "two"}, seen
    for each in await _pods(exposed):
        gates = [gate["conditionType"] for gate in each["spec"]["readinessGates"]]
        statuses = {of["type"]: of["status"] for of in each["status"]["conditions"]}
        assert len(gates) == 2
        assert {statuses[gate] for gate in gates} == {"True"}
