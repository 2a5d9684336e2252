"""A real HAProxy handles requests as an Application or Network Load Balancer does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from multidict import CIMultiDict

from monopod.controllers.loadbalancer.model import (
    Balancer,
    FixedResponse,
    Forward,
    ForwardedFor,
    HeaderCondition,
    HealthCheck,
    HttpListener,
    HttpOptions,
    Match,
    MethodCondition,
    NetworkListener,
    Protocol,
    QueryCondition,
    Redirect,
    Rule,
    SourceCondition,
    Target,
    TargetGroup,
)
from tests.framework.eventually import eventually
from tests.loadbalancer.rig import PORT, TARGETS, Rig, rig

pytestmark = pytest.mark.kernel

_WITHIN_S = 60.0
_GROUP = "web"
_TARGETS = tuple(Target(address, PORT) for address in TARGETS)
_UNMET = HealthCheck(Protocol.HTTP, path="/", codes="404", interval_s=1, healthy=2, unhealthy=2)
"""A body that no target returns."""
_MET = replace(_UNMET, codes="200")


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:  # pyright: ignore[reportUnusedFunction]
    async with rig(tmp_path) as made:
        yield made


def _group(*targets: Target, check: HealthCheck = _MET) -> TargetGroup:
    return TargetGroup(_GROUP, Protocol.HTTP, check, targets, idle_s=60)


def _application(
    rig: Rig,
    *rules: Rule,
    group: TargetGroup | None = None,
    options: HttpOptions | None = None,
) -> Balancer:
    listener = HttpListener(80, rules, Forward(((_GROUP, 1),)), options=options or HttpOptions())
    address = rig.plan.internal_balancers.network_address + 1
    return Balancer("k8s-a", address, (listener,), (group or _group(*_TARGETS),))


async def _apply(rig: Rig, *balancers: Balancer) -> None:
    await _eventually(rig.reloaded)
    await rig.haproxy.apply(balancers, {})
    await _eventually(rig.reloaded)


async def _eventually(check: Callable[[], Awaitable[object]]) -> None:
    await eventually(check, timeout_s=_WITHIN_S, every_s=0.05)


async def _get(
    rig: Rig,
    balancer: Balancer,
    path: str = "/",
    headers: Mapping[str, str] | CIMultiDict[str] | None = None,
    method: str = "GET",
) -> tuple[int, str]:
    async with rig.client() as http:
        url = f"http://{balancer.address}{path}"
        sent = http.request(method, url, headers=headers, allow_redirects=False)
        async with sent as answer:
            return answer.status, await answer.text()


@pytest.mark.row("S6")
@pytest.mark.parametrize("network", [False, True])
async def test_without_a_healthy_target_all_get_requests(rig: Rig, network: bool) -> None:
    bad = _group(*_TARGETS, check=_UNMET)
    made = _application(rig, group=bad)
    if network:
        tcp = replace(bad, protocol=Protocol.TCP)
        made = replace(made, listeners=(NetworkListener(80, _GROUP),), groups=(tcp,))
    await _apply(rig, made)

    async def all_fail() -> bool:
        return not any(each.healthy for each in await rig.servers())

    await eventually(all_fail)
    seen = {await _get(rig, made) for _ in range(6)}
    assert seen == {(200, str(address)) for address in TARGETS}
    # A target added later is among them, a draining one is not.
    one, two = made.groups[0].targets
    draining = replace(one, draining=True)
    fewer = replace(made, groups=(replace(made.groups[0], targets=(draining, two)),))
    await _apply(rig, fewer)
    assert {await _get(rig, fewer) for _ in range(6)} == {(200, str(two.address))}
    without = replace(made, groups=(replace(made.groups[0], targets=()),))
    await _apply(rig, without)
    if network:
        with pytest.raises(aiohttp.ClientError):
            await _get(rig, without)
    else:
        assert (await _get(rig, without))[0] == 503
    await _apply(rig, made)
    assert {await _get(rig, made) for _ in range(6)} <= {(200, str(of)) for of in TARGETS}


@pytest.mark.row("S6")
async def test_an_unhealthy_target_gets_none_while_another_is_healthy(rig: Rig) -> None:
    """Its health check's port is closed; its traffic port would answer."""
    check = HealthCheck(Protocol.TCP, port=PORT + 1, interval_s=1, healthy=2, unhealthy=2)
    good, bad = _TARGETS
    made = _application(rig, group=_group(good, bad, check=check))

    async def one_listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listening = rig.listen(one_listens, str(good.address), PORT + 1)
    async with await listening:
        await _apply(rig, made)

        async def one_is_healthy() -> bool:
            states = await rig.servers()
            return await rig.healthy(1) and sum(each.healthy for each in states) == 1

        await _eventually(one_is_healthy)
        assert {await _get(rig, made) for _ in range(6)} == {(200, str(good.address))}
        # A healthy draining target does not count.
        group = replace(made.groups[0], targets=(replace(good, draining=True), bad))
        ending = replace(made, groups=(group,))
        await _apply(rig, ending)
        assert {await _get(rig, ending) for _ in range(6)} == {(200, str(bad.address))}


def _line(length: int, name: str = "X-A") -> dict[str, str]:
    """A header with a line of this many bytes."""
    return {name: "a" * (length - len(name) - 2)}


@pytest.mark.row("S6")
async def test_the_limits_on_headers_are_awss(rig: Rig) -> None:
    made = _application(rig, options=HttpOptions())
    await _apply(rig, made)
    assert (await _get(rig, made, headers=_line(16 << 10)))[0] == 200
    assert (await _get(rig, made, headers=_line((16 << 10) + 1)))[0] == 400
    many = {key: of for n in range(4) for key, of in _line(15 << 10, f"X-{n}").items()}
    assert (await _get(rig, made, headers=many))[0] == 200
    assert (await _get(rig, made, headers=many | _line(10 << 10)))[0] == 400
    assert (await _get(rig, made, headers=many | _line(15 << 10) | _line(15 << 10, "Y")))[0] == 400
    assert (await _get(rig, made, headers={f"X-{n}": "a" for n in range(500)}))[0] == 200
    assert (await _get(rig, made, "/" + "a" * 16000))[0] == 200
    assert (await _get(rig, made, "/" + "a" * (16 << 10)))[0] == 414
    assert (await _get(rig, made, method="TRACE"))[0] == 405
    assert (await _get(rig, made, method="PURGE"))[0] == 200
    assert (await _get(rig, made, "/?answer=20000"))[0] == 200
    assert (await _get(rig, made, "/?answer=40000"))[0] == 502


@pytest.mark.row("S6")
async def test_forwarded_for_is_one_line_that_ends_with_the_client(rig: Rig) -> None:
    made = _application(rig)
    await _apply(rig, made)

    async def forwarded(*sent: str, options: HttpOptions | None = None) -> str:
        asked = _application(rig, options=options or HttpOptions())
        await _apply(rig, asked)
        headers = CIMultiDict([("X-Forwarded-For", each) for each in sent])
        return (await _get(rig, asked, "/?show=x-forwarded-for", headers))[1]

    client = str(made.address)
    assert await forwarded() == client
    assert await forwarded("1.2.3.4, 5.6.7.8") == f"1.2.3.4, 5.6.7.8, {client}"
    assert await forwarded("1.2.3.4", "5.6.7.8") == f"1.2.3.4|5.6.7.8|{client}"
    keep = HttpOptions(forwarded_for=ForwardedFor.PRESERVE)
    assert await forwarded("1.2.3.4", options=keep) == "1.2.3.4"
    assert await forwarded("1.2.3.4", options=HttpOptions(forwarded_for=ForwardedFor.REMOVE)) == ""
    with_port = await forwarded(options=HttpOptions(client_port=True))
    assert with_port.rpartition(":")[0] == client


@pytest.mark.row("S6")
async def test_conditions_match_as_on_aws(rig: Rig) -> None:
    def rule(number: int, **of: object) -> Rule:
        return replace(Rule(FixedResponse(200, body=str(number))), **of)  # pyright: ignore

    made = _application(
        rig,
        rule(1, host="a.b", or_hosts=("*.c.d",), path="/h", match=Match.EXACT),
        rule(2, path="/p", or_paths=("/q/*", "/r?")),
        rule(3, path="/m", conditions=(MethodCondition(("PUT", "DELETE")),)),
        rule(4, path="/x", conditions=(HeaderCondition("x-a", ("one", "}", "t*o")),)),
        rule(
            5,
            path="/s",
            conditions=(
                QueryCondition((("a", "1*"), (None, "z?"))),
                QueryCondition((("b", "2"),)),
            ),
        ),
        rule(6, path="/i", conditions=(SourceCondition((rig.plan.internal_balancers,)),)),
        rule(7, path="/j", conditions=(SourceCondition((rig.plan.public_balancers,)),)),
        rule(8, path="/l", conditions=(MethodCondition(("GET",)), HeaderCondition("x", ("1",)))),
        rule(9),
    )
    await _apply(rig, made)

    async def of(path: str, method: str = "GET", **headers: str) -> str:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await _get(rig, made, path, sent, method))[1]

    assert [await of("/h", Host=host) for host in ("A.b", "x.C.d", "c.d", "a.b:80")] == list("1191")
    assert [await of(path) for path in ("/p", "/p/1", "/px", "/q/", "/q", "/r1", "/r12")] == list(
        "2292929"
    )
    assert [await of("/m", method) for method in ("PUT", "GET", "DELETE")] == list("393")
    assert [await of("/x", X_A=value) for value in ("ONE", "txo", "to", "}", "three")] == list(
        "44449"
    )
    queries = ("a=12&b=2", "b=2&c=zz", "B=2&A=1", "a=2&b=2", "a=1&b=22", "xa=1&b=2")
    assert [await of(f"/s?{query}") for query in queries] == list("555999")
    assert [await of(path) for path in ("/i", "/j", "/l")] == list("699")
    assert await of("/l", X="1") == "8"


@pytest.mark.row("S6")
async def test_a_cookie_binds_a_client_to_its_target(rig: Rig) -> None:
    group = replace(_group(), cookie_s=60, slow_start_s=30)
    made = _application(rig, group=group)
    await _apply(rig, made)
    # Both are added at runtime, where a target's line cannot set a cookie.
    made = _application(rig, group=replace(group, targets=_TARGETS))
    await _apply(rig, made)

    # Before that the target of a cookie may be passed over for one whose check came earlier.
    await _eventually(lambda: rig.healthy(2))
    jar = aiohttp.CookieJar(unsafe=True)
    async with rig.client(jar) as http:
        seen: set[str] = set()
        for _ in range(6):
            async with http.get(f"http://{made.address}/") as answer:
                seen.add(await answer.text())
    assert len(seen) == 1
    assert {each.key for each in jar} == {"AWSALB"}
    others: set[str] = set()

    async def both_are_reached() -> bool:
        others.add((await _get(rig, made))[1])
        return len(others) == 2

    # How soon depends on slow start: the target that became healthy first has more weight.
    await _eventually(both_are_reached)


@pytest.mark.row("S6")
async def test_idle_connections_are_closed_after_the_timeout(rig: Rig) -> None:
    quick = HttpOptions(idle_s=1)
    made = _application(rig, group=replace(_group(*_TARGETS), idle_s=1), options=quick)
    await _apply(rig, made)
    assert (await _get(rig, made, "/?for=3"))[0] == 504
    tcp = TargetGroup("80", Protocol.TCP, _MET, _TARGETS, idle_s=1)
    network = replace(made, listeners=(NetworkListener(80, "80", idle_s=1),), groups=(tcp,))
    await _apply(rig, network)
    with pytest.raises(aiohttp.ClientError):
        await _get(rig, network, "/?for=3")


@pytest.mark.row("S6")
async def test_a_redirect_keeps_the_parts_it_does_not_name(rig: Rig) -> None:
    made = _application(rig, Rule(Redirect(301, protocol="HTTPS", port="443")))
    await _apply(rig, made)
    async with rig.client() as http:
        sent = http.get(
            f"http://{made.address}/a?b=c", headers={"Host": "a.b"}, allow_redirects=False
        )
        async with sent as answer:
            assert answer.headers["Location"] == "https://a.b/a?b=c"
