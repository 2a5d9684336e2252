"""The files of docs/reference/monitoring, and what they name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
REFERENCE: Final = ROOT / "docs" / "reference"
ALERTS: Final = REFERENCE / "alerts.rules"
FILES: Final = REFERENCE / "monitoring"
CONFIGURATION: Final = FILES / "prometheus.yml"
RBAC: Final = FILES / "rbac.yaml"
DASHBOARDS: Final = sorted((FILES / "dashboards").glob("*.json"))
_VARIABLES: Final = {
    "$__rate_interval": "1m",
    "$driver": ".*",
    "$size": ".*",
    "$namespace": ".*",
}
"""What Grafana puts in, with its default choice."""
_ROW: Final = re.compile(r"^\| `(monopod_\w+)` \| (\w+) \|([^|]*)\| ([^|]+) \| (.+) \|$")


def alerts() -> list[dict[str, Any]]:
    """Return the alerting rules."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def with_given_targets() -> tuple[str, dict[str, str]]:
    """Return the scrape configuration with files in place of Kubernetes' service discovery.

    Debian's Prometheus is built without it. Everything else stays: a file's targets have the labels
    that discovery gives them.

    Returns:
        The configuration, and the role of each job's discovery by the name of its file.
    """
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    roles: dict[str, str] = {}
    for job in configuration["scrape_configs"]:
        if (found := job.pop("kubernetes_sd_configs", None)) is None:
            continue
        file = f"{job['job_name']}.json"
        roles[file] = found[0]["role"]
        job["file_sd_configs"] = [{"files": [file]}]
    return yaml.safe_dump(configuration), roles


def queries(dashboard: Path) -> Iterator[str]:
    """Yield a dashboard's queries as Prometheus gets them."""
    for panel in json.loads(dashboard.read_text())["panels"]:
        for target in panel["targets"]:
            query: str = target["expr"]
            for name, value in _VARIABLES.items():
                query = query.replace(name, value)
            assert "$" not in query, query
            yield query


def documented() -> dict[str, dict[str, tuple[str, frozenset[str]]]]:
    """Return type and labels of each metric by its name, by the section of its process."""
    found: dict[str, dict[str, tuple[str, frozenset[str]]]] = {}
    section = ""
    for line in (REFERENCE / "metrics.md").read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif row := _ROW.match(line):
            name, kind, labels, unit, meaning = row.groups()
            assert unit.strip() and meaning.strip(), name
            found.setdefault(section, {})[name] = kind, frozenset(re.findall(r"`(\w+)`", labels))
    return found
