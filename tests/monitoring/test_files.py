"""Scrape configuration, alerting rules and dashboards, evaluated by Prometheus' promtool."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from monopod.controlplane import metrics_targets
from monopod.node.net.cluster_network import ClusterNetwork
from tests.monitoring import documents
from tests.monitoring.prometheus import run

pytestmark = [pytest.mark.kernel, pytest.mark.row("S15")]

_CASES = Path(__file__).with_name("alerts_test.rules")
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def test_the_scrape_configuration_and_its_rules_are_valid(tmp_path: Path) -> None:
    (tmp_path / "alerts.rules").write_bytes(documents.ALERTS.read_bytes())
    # promtool looks for the files that a pod has.
    text, files = documents.with_given_targets()
    text = text.replace(_ACCOUNT, str(tmp_path))
    for name in files:
        (tmp_path / name).write_text("[]")
    for name in ("token", "ca.crt"):
        (tmp_path / name).touch()
    (tmp_path / "prometheus.yml").write_text(text)
    done = run("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stderr
    assert f"{len(documents.alerts())} rules found" in done.stdout


def test_every_alert_fires_when_it_should_and_is_silent_otherwise(tmp_path: Path) -> None:
    (tmp_path / "alerts.rules").write_bytes(documents.ALERTS.read_bytes())
    (tmp_path / _CASES.name).write_bytes(_CASES.read_bytes())
    done = run("promtool", "test", "rules", tmp_path / _CASES.name)
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, set[bool]] = {}
    for case in yaml.safe_load(_CASES.read_text())["tests"]:
        for check in case["alert_rule_test"]:
            said.setdefault(check["alertname"], set()).add(bool(check.get("exp_alerts")))
    assert said == {rule["alert"]: {True, False} for rule in documents.alerts()}


@pytest.mark.parametrize("dashboard", documents.DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_is_promql(dashboard: Path, tmp_path: Path) -> None:
    rules = [
        {"record": f"q:{number}", "expr": query}
        for number, query in enumerate(documents.queries(dashboard))
    ]
    assert rules
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = run("promtool", "check", "rules", "--lint=none", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_the_service_monitor_is_the_same_configuration() -> None:
    (job,) = (
        each
        for each in yaml.safe_load(documents.CONFIGURATION.read_text())["scrape_configs"]
        if each["job_name"] == "monopod"
    )
    monitor = yaml.safe_load((documents.FILES / "servicemonitor.yaml").read_text())["spec"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["scheme"] == job["scheme"]
    assert endpoint["bearerTokenFile"] == job["authorization"]["credentials_file"]
    assert endpoint["tlsConfig"] == {_camel(k): v for k, v in job["tls_config"].items()}
    (found,) = job["kubernetes_sd_configs"]
    assert monitor["namespaceSelector"]["matchNames"] == found["namespaces"]["names"]
    (selector,) = found["selectors"]
    labels = monitor["selector"]["matchLabels"]
    assert selector["label"] == ",".join(f"{key}={value}" for key, value in labels.items())
    named = {"target_label": "job", "replacement": job["job_name"]}
    assert [*job["relabel_configs"], named] == [_snake(each) for each in endpoint["relabelings"]]


def test_both_find_the_objects_of_a_cluster() -> None:
    service, endpoints = metrics_targets.objects(ClusterNetwork("abc123", 7))
    job = yaml.safe_load(documents.CONFIGURATION.read_text())["scrape_configs"][0]
    (found,) = job["kubernetes_sd_configs"]
    key, _, value = found["selectors"][0]["label"].partition("=")
    for each in (service, endpoints):
        assert each["metadata"]["namespace"] in found["namespaces"]["names"]
        assert each["metadata"]["labels"][key] == value
    expected = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert job["tls_config"]["server_name"] == expected


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)


def _snake(values: dict[str, Any]) -> dict[str, Any]:
    return {re.sub(r"[A-Z]", lambda c: f"_{c[0].lower()}", key): v for key, v in values.items()}
