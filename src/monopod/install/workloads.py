"""Deployments, jobs and what they need: Monopod's processes as pods without privileges. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

from monopod.api import keys
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.controllers.patch.settings import PatchSettings
from monopod.controllers.scheduler.settings import SchedulerSettings
from monopod.controllers.sidecars.settings import SidecarSettings
from monopod.controllers.vpc.launchers.settings import PoliciesSettings
from monopod.install.access import SERVING_SECRET
from monopod.install.accounts import SETUP, USERS, Manifest, account
from monopod.install.admission import SERVICE
from monopod.install.values import HOME, Setting, Values
from monopod.webhooks.manifests import PORT
from monopod.webhooks.settings import WebhookSettings

LABELS: Final = {"app.kubernetes.io/name": "monopod", "app.kubernetes.io/part-of": "monopod"}
SETUP_JOB: Final = "monopod-setup"
CHECK_JOB: Final = "monopod-check"
COMPONENT: Final = "app.kubernetes.io/component"
_CONFIGURATION: Final = "monopod-kubeconfig"
_MODULES: Final = {
    "webhooks": "monopod.webhooks",
    "policies": "monopod.controllers.vpc.launchers",
    **{
        name: f"monopod.controllers.{name}"
        for name in ("scheduler", "microvm", "patch", "sidecars")
    },
}
_SERVING_IDENTITY: Final = {"tls.crt": "serving.crt", "tls.key": "serving.key"}
_SECRETS: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_USER: Final = 65532
_METRICS: Final = "metrics"
_PROBE_TIMEOUT_S: Final = 10
"""As long as on a host that is short of processor time."""
_WEBHOOKS: Final = "webhooks"
_SETUP: Final = "monopod.install.setup"


def _metrics_port(process: str) -> int:
    ports: Mapping[str, type[Any]] = {
        "scheduler": SchedulerSettings,
        "microvm": MicroVMSettings,
        "webhooks": WebhookSettings,
        "patch": PatchSettings,
        "sidecars": SidecarSettings,
        "policies": PoliciesSettings,
    }
    return ports[process].model_fields["metrics_port"].default


def service_accounts() -> list[Manifest]:
    """Return all service accounts; only pods that name one have its token."""
    return [
        _object("ServiceAccount", name, automountServiceAccountToken=False)
        for name in (*(account(process) for process in USERS), SETUP)
    ]


def configuration() -> Manifest:
    """Return the kubeconfig of every process: its own service account's token."""
    cluster = {
        "server": "https://kubernetes.default.svc",
        "certificate-authority": f"{_SECRETS}/ca.crt",
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "monopod", "user": {"tokenFile": f"{_SECRETS}/token"}}],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "monopod"}}],
        "current-context": "cluster",
    }
    return _object("ConfigMap", _CONFIGURATION, data={"kubeconfig": yaml.safe_dump(config)})


def service() -> Manifest:
    """Return the Service by which the API server calls the webhooks."""
    spec = {
        "selector": {**LABELS, COMPONENT: _WEBHOOKS},
        "ports": [{"name": _WEBHOOKS, "port": PORT, "targetPort": _WEBHOOKS}],
    }
    return _object("Service", SERVICE, spec=spec)


def deployments(values: Values) -> list[Manifest]:
    """Return the Deployments of all processes."""
    return [_deployment(process, values) for process in USERS]


def disruption_budgets() -> list[Manifest]:
    """Return the budgets that keep other replicas of a process while nodes are drained."""
    return [
        {
            **_object(
                "PodDisruptionBudget",
                f"monopod-{process}",
                spec={
                    "maxUnavailable": 1,
                    "selector": {"matchLabels": {**LABELS, COMPONENT: process}},
                },
            ),
            "apiVersion": "policy/v1",
        }
        for process in USERS
    ]


def setup_job(values: Values, name: Setting = None) -> Manifest:
    """Return the job that makes the webhooks' certificate and the default Vpc.

    Args:
        values: The values of the installation.
        name: Its name. None means one for what it contains: jobs are immutable.
    """
    made = _job(SETUP_JOB, _SETUP, values)
    digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:8]
    made["metadata"]["name"] = f"{SETUP_JOB}-{digest}" if name is None else name
    return made


def check_job(values: Values) -> Manifest:
    """Return the job that fails while machines exist."""
    return _job(CHECK_JOB, "monopod.install.setup.check", values, retries=0)


def renewals(values: Values) -> Manifest:
    """Return the CronJob that does the same again, for renewals and new zones."""
    spec = {
        "schedule": values.renewal_schedule,
        "concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"spec": _job_spec(_SETUP, values, 3)},
    }
    return {**_object("CronJob", SETUP_JOB, spec=spec), "apiVersion": "batch/v1"}


def _job(name: Setting, module: str, values: Values, retries: int = 6) -> Manifest:
    made = _object("Job", name, spec=_job_spec(module, values, retries))
    return {**made, "apiVersion": "batch/v1"}


def _job_spec(module: str, values: Values, retries: int) -> Manifest:
    container = _container(SETUP, module, values)
    return {
        "backoffLimit": retries,
        "ttlSecondsAfterFinished": 600,
        "template": _template(SETUP, SETUP, container, values, restart="Never"),
    }


def _deployment(process: str, values: Values) -> Manifest:
    probes = {
        "startupProbe": _probe("/healthz", failures=60, period_s=2),
        "livenessProbe": _probe("/healthz", failures=6, period_s=10),
        "readinessProbe": _probe("/readyz", failures=2, period_s=2),
    }
    ports = [{"name": _METRICS, "containerPort": _metrics_port(process)}]
    if process == _WEBHOOKS:
        ports.append({"name": _WEBHOOKS, "containerPort": PORT})
    container = {**_container(process, _MODULES[process], values), **probes, "ports": ports}
    spec = {
        "replicas": values.replicas,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        "selector": {"matchLabels": {**LABELS, COMPONENT: process}},
        "template": _template(process, account(process), container, values),
    }
    return {**_object("Deployment", f"monopod-{process}", spec=spec), "apiVersion": "apps/v1"}


def _probe(path: str, *, failures: int, period_s: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": _METRICS},
        "failureThreshold": failures,
        "periodSeconds": period_s,
        "timeoutSeconds": _PROBE_TIMEOUT_S,
    }


def _container(process: str, module: str, values: Values) -> Manifest:
    settings = {**values.settings(), "HOME": "/tmp", **values.own_settings(process)}  # noqa: S108
    return {
        "name": process,
        "image": values.controllers_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/python3", "-m", module],
        "env": [{"name": name, "value": each} for name, each in settings.items()],
        "resources": values.resources[process],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "identity", "mountPath": f"{HOME}/identities/{process}", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's
        ],
    }


def _template(
    component: str,
    service_account: str,
    container: Manifest,
    values: Values,
    restart: str = "Always",
) -> Manifest:
    identity: list[Manifest] = [{"configMap": {"name": _CONFIGURATION}}]
    if component == _WEBHOOKS:
        items = [{"key": key, "path": path} for key, path in _SERVING_IDENTITY.items()]
        identity.append({"secret": {"name": SERVING_SECRET, "items": items}})
    spec: Manifest = {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "restartPolicy": restart,
        "priorityClassName": values.priority_class_of_controllers,
        "imagePullSecrets": values.image_pull_secrets,
        "nodeSelector": values.node_selector,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {**LABELS, COMPONENT: component}},
            }
        ],
        "tolerations": values.tolerations,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "identity", "projected": {"sources": identity, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        ],
    }
    return {"metadata": {"labels": {**LABELS, COMPONENT: component}}, "spec": spec}


def _object(kind: str, name: Setting, **fields: Any) -> Manifest:  # noqa: ANN401 - YAML
    metadata = {"name": name, "namespace": keys.SYSTEM_NAMESPACE, "labels": dict(LABELS)}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}
