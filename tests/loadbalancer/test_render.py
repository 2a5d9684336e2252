"""HAProxy accepts every configuration that can be rendered."""

import datetime as dt
import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from monopod.controllers.loadbalancer.model import (
    NOT_FOUND,
    Action,
    Balance,
    Balancer,
    Condition,
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
from monopod.controllers.loadbalancer.render import base, render

_CERTIFICATE = "one.pem"
_PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
"""Shrinking a failure would run HAProxy thousands of times."""
_ADDRESS = IPv4Address("127.0.0.1")


def self_signed(name: str) -> tuple[bytes, bytes]:
    """A host's certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM), pem


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the one certificate that listeners may name."""
    made = tmp_path_factory.mktemp("haproxy")
    (made / _CERTIFICATE).write_bytes(b"".join(self_signed("a.example.com")))
    (made / "base.cfg").write_text(base())
    return made


def _accepted(balancers: Sequence[Balancer], directory: Path) -> None:
    config = directory / "balancers.cfg"
    config.write_text(render(balancers, directory).text)
    done = subprocess.run(
        ["haproxy", "-c", "-f", directory / "base.cfg", "-f", config],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{said}\n{config.read_text()}"
    assert "WARNING" not in said, f"{said}\n{config.read_text()}"


@pytest.mark.kernel
def test_haproxy_accepts_a_configuration_without_load_balancers(directory: Path) -> None:
    _accepted([], directory)


_printable = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
_paths = st.text(_printable, max_size=20).map("/{}".format)
_hosts = st.sampled_from(["", "a.example.com", "*.example.com", "A.EXAMPLE.com"])
_bodies = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.just("\n"))
_ports = st.integers(1, 65535)
_names = st.sampled_from(["ns.ingress.web.80", "ns.ingress.api.8080", "80"])
_protocols = st.sampled_from(list(Protocol))
_checks = st.builds(
    HealthCheck,
    st.sampled_from([Protocol.TCP, Protocol.HTTP, Protocol.HTTPS]),
    st.none() | _ports,
    _paths,
    st.sampled_from(["200", "200-399", "200,201,300-304"]),
    st.integers(5, 300),
    st.integers(2, 120),
    st.integers(2, 10),
    st.integers(2, 10),
)
_targets = st.lists(
    st.builds(Target, st.integers(1, 250).map(lambda n: _ADDRESS + n), _ports, st.booleans()),
    max_size=4,
    unique_by=lambda each: each.name,
)


def _groups(protocols: st.SearchStrategy[Protocol]) -> st.SearchStrategy[list[TargetGroup]]:
    return st.lists(
        st.builds(
            TargetGroup,
            _names,
            protocols,
            _checks,
            _targets.map(tuple),
            st.booleans(),
            st.sampled_from(list(Balance)),
            idle_s=st.integers(1, 6000),
            open_below=st.integers(1, 1000),
            slow_start_s=st.sampled_from([0, 30, 900]),
            cookie_s=st.sampled_from([0, 1, 604800]),
            by_source=st.booleans(),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda each: each.name,
    )


_networks = st.lists(
    st.integers(0, 255).map(lambda n: IPv4Network((n << 24, 8))), max_size=70, unique=True
)


_syntax = st.sampled_from(["{", "}", "!", "if", "unless", "or", "||", "--", "-f", "-i", "#", "\\"])
"""Words that mean something to HAProxy where a condition's values are."""
_texts = st.lists(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)
    | _syntax,
    min_size=1,
    max_size=3,
).map(tuple)
_conditions: st.SearchStrategy[Condition] = st.one_of(
    st.builds(MethodCondition, st.sampled_from([("GET",), ("GET", "PURGE")])),
    st.builds(HeaderCondition, st.sampled_from(["x-a", "user_agent"]), _texts),
    st.builds(
        QueryCondition,
        st.lists(
            st.tuples(st.none() | st.sampled_from(["a", "a*", "'"]), _texts.map("".join)),
            min_size=1,
            max_size=3,
        ).map(tuple),
    ),
    st.builds(SourceCondition, _networks.filter(bool).map(lambda each: tuple(each[:5]))),
)
_options = st.builds(
    HttpOptions,
    st.integers(1, 4000),
    st.booleans(),
    st.sampled_from(list(ForwardedFor)),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["TLSv1.2", "TLSv1.3"]),
)


@st.composite
def network_balancers(draw: st.DrawFn) -> Balancer:
    groups = draw(_groups(st.sampled_from([Protocol.TCP, Protocol.TLS])))
    ports = draw(st.lists(_ports, min_size=1, max_size=3, unique=True))
    listeners = tuple(
        NetworkListener(port, draw(st.sampled_from(groups)).name, tuple(draw(_networks)))
        for port in ports
    )
    return Balancer("k8s-network", _ADDRESS, listeners, tuple(groups))


@st.composite
def application_balancers(draw: st.DrawFn) -> Balancer:
    groups = draw(_groups(st.sampled_from([Protocol.HTTP, Protocol.HTTPS])))
    names = st.sampled_from([each.name for each in groups])
    forwards = st.lists(st.tuples(names, st.integers(1, 999)), min_size=1, max_size=3)
    parts = st.text(_printable, max_size=12)
    actions: st.SearchStrategy[Action] = st.one_of(
        forwards.map(lambda each: Forward(tuple(each))),
        st.builds(
            Redirect,
            st.sampled_from([301, 302]),
            st.sampled_from(["#{protocol}", "HTTP", "HTTPS"]),
            st.just("#{host}") | parts,
            st.just("#{port}") | _ports.map(str),
            st.just("/#{path}") | parts,
            st.just("#{query}") | parts,
        ),
        st.builds(FixedResponse, st.integers(200, 599), st.just("text/html"), _bodies),
    )
    rules = st.lists(
        st.builds(
            Rule,
            actions,
            _hosts,
            st.just("") | _paths,
            st.sampled_from(list(Match)),
            st.lists(_hosts.filter(bool), max_size=3).map(tuple),
            st.lists(_paths, max_size=3).map(tuple),
            st.lists(_conditions, max_size=3).map(tuple),
        ),
        max_size=4,
    )
    ports = draw(st.lists(_ports, min_size=1, max_size=2, unique=True))
    listeners = tuple(
        HttpListener(
            port,
            tuple(draw(rules)),
            draw(actions | st.just(NOT_FOUND)),
            draw(st.sampled_from([(), (_CERTIFICATE,)])),
            tuple(draw(_networks)),
            draw(_options),
        )
        for port in ports
    )
    return Balancer("k8s-application", _ADDRESS, listeners, tuple(groups))


@pytest.mark.kernel
@settings(max_examples=50, deadline=None, phases=_PHASES)
@given(network_balancers(), application_balancers())
def test_haproxy_accepts_every_rendered_configuration(
    directory: Path, network: Balancer, application: Balancer
) -> None:
    _accepted([network, application], directory)


@pytest.mark.unit
@given(application_balancers())
def test_users_text_never_begins_a_line(balancer: Balancer) -> None:
    """A user's text cannot inject a line."""
    known = ("backend ", "frontend ", "    ")
    text = render([balancer], Path("/certificates")).text
    assert all(line.startswith(known) for line in text.splitlines() if line.strip())
    words = {line.split()[0] for line in text.split("\n") if line.startswith("    ")}
    assert words <= {
        "acl",
        "balance",
        "bind",
        "cookie",
        "default_backend",
        "dynamic-cookie-key",
        "hash-type",
        "maxconn",
        "http-check",
        "http-request",
        "http-response",
        "mode",
        "option",
        "retry-on",
        "server",
        "source",
        "tcp-request",
        "timeout",
        "use_backend",
    }


@pytest.mark.unit
def test_a_change_of_targets_does_not_change_the_version(directory: Path) -> None:
    def of(*targets: Target, interval_s: int = 10) -> str:
        check = HealthCheck(Protocol.TCP, interval_s=interval_s)
        group = TargetGroup("80", Protocol.TCP, check, targets)
        made = Balancer("k8s-a", _ADDRESS, (NetworkListener(80, "80"),), (group,))
        return render([made], directory).version

    one, two = Target(_ADDRESS + 1, 80), Target(_ADDRESS + 2, 80)
    assert of(one) == of(two, one) == of(Target(_ADDRESS + 1, 80, draining=True))
    assert of(one) != of(one, interval_s=20)
