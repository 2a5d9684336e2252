"""Objects that make no sense are refused, or become a configuration that HAProxy loads."""

import random
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from lightkube.resources.networking_v1 import Ingress

from monopod.controllers.loadbalancer.ingress_annotations import INGRESS
from monopod.controllers.loadbalancer.ingresses import application_balancers
from monopod.controllers.loadbalancer.model import Balancer
from monopod.controllers.loadbalancer.render import base, render
from monopod.kube import KubeError, codec
from tests.framework import fuzz
from tests.loadbalancer.test_ingresses import AROUND, PREFIX
from tests.loadbalancer.test_render import self_signed

pytestmark = pytest.mark.kernel

_TOGETHER: Final = 50
_WORDS: Final = (
    "",
    "/",
    "/*a*b*c",
    "/a b",
    '/"',
    "/'\\",
    "/#}",
    "/%[src]",
    "/\n  http-request deny",
    "/{}",
    "/$HOME",
    "/ü",
    "/" + "*a" * 60,
    "200-499",
    "HTTPS",
    '[{"HTTP": 80}]',
    '[{"HTTPS": 443}]',
    "Some.Header=a b",
    "idle_timeout.timeout_seconds=9,x=y",
    '{"type":"fixed-response","fixedResponseConfig":{"statusCode":"404","messageBody":"\\"}#%["}}',
    '[{"field":"http-header","httpHeaderConfig":{"httpHeaderName":"x y","values":["}"]}}]',
    '[{"field":"query-string","queryStringConfig":{"values":[{"key":"a","value":"*{%"}]}}]',
    '[{"field":"path-pattern","pathPatternConfig":{"values":["/*}*{"]}}]',
)


def _object(number: int, luck: random.Random) -> dict[str, Any]:
    names = [*sorted(INGRESS), "actions.web", "conditions.web"]
    chosen = [luck.choice(names) for _ in range(luck.randint(0, 4))]
    annotations = {
        PREFIX + (f"{name}web" if name[-1] in ".-" else name): luck.choice(_WORDS)
        for name in chosen
    }
    name = f"web-{number}"
    port: dict[str, Any] = luck.choice(
        ({"name": "http"}, {"number": 80}, {"name": "use-annotation"})
    )
    paths = [
        {
            "path": luck.choice(_WORDS),
            "pathType": luck.choice(("Prefix", "Exact", "ImplementationSpecific")),
            "backend": {"service": {"name": "web", "port": port}},
        }
        for _ in range(luck.randint(1, 3))
    ]
    rule = {
        "host": luck.choice(("a.example.com", "", "*.b", "\x00", "x y", 'a"')),
        "http": {"paths": paths},
    }
    made = {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "annotations": annotations,
        },
        "spec": {"ingressClassName": "alb", "rules": [rule]},
    }
    if luck.random() < 0.3:
        spoilt = fuzz.spoil(made["spec"], luck)
        made["spec"] = spoilt if isinstance(spoilt, dict) else {}
    return made


def _decoded(body: dict[str, Any]) -> Ingress | None:
    """The API server accepts only objects of the schema."""
    try:
        return codec.decode(Ingress, msgspec.json.encode(body))
    except KubeError:
        return None


@pytest.mark.row("S14")
@pytest.mark.timeout(7200)
def test_malformed_ingresses_never_break_haproxys_configuration(tmp_path: Path) -> None:
    luck, loaded, refused = fuzz.chance(), 0, 0
    (tmp_path / "base.cfg").write_text(base())
    (tmp_path / "shop.pem").write_bytes(b"".join(self_signed("a.example.com")))
    config = tmp_path / "balancers.cfg"
    for start in range(0, fuzz.inputs(1_000), _TOGETHER):
        bodies = (_object(number, luck) for number in range(start, start + _TOGETHER))
        decoded = [each for each in map(_decoded, bodies) if each is not None]
        desired, invalid = application_balancers(decoded, AROUND, lambda _: None, {})
        refused += len(invalid)
        balancers = [
            Balancer(each.name, IPv4Address("100.127.7.129") + index, each.listeners, each.groups)
            for index, each in enumerate(desired)
        ]
        config.write_text(render(balancers, tmp_path).text)
        done = subprocess.run(
            ["haproxy", "-c", "-f", tmp_path / "base.cfg", "-f", config],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{config.read_text()}"
        loaded += len(balancers)
    assert loaded, "no input was valid"
    assert refused, "no input was refused"
