"""The API server's configuration files for admission and auditing. Pure.

Flags stand in :mod:`monopod.controlplane.upstream_services`.
"""

from typing import Any, Final

ADMISSION_PLUGINS: Final = ("NodeRestriction", "DenyServiceExternalIPs", "EventRateLimit")
"""Beyond upstream's defaults. A Service's external IPs would let any tenant take any address of the
cluster (CVE-2020-8554)."""

Configuration = dict[str, Any]


def admission() -> Configuration:
    """Return the configuration of admission plugins.

    A user, which every node is, writes 10 events per second and a namespace gets 50, so that no
    tenant fills etcd with them; events beyond are refused, and clients drop them.
    """
    limits = [
        {"type": "User", "qps": 10, "burst": 100, "cacheSize": 4096},
        {"type": "Namespace", "qps": 50, "burst": 500, "cacheSize": 4096},
    ]
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [
            {
                "name": "EventRateLimit",
                "configuration": {
                    "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
                    "kind": "Configuration",
                    "limits": limits,
                },
            }
        ],
    }


def audit_policy() -> Configuration:
    """Return what is audited: every write, and every access to what grants access.

    Metadata only: contents would put Secrets into a log. What happens all the time and changes
    nothing of interest is left out, so that a bounded log reaches back far enough.
    """
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {
                "level": "None",
                "resources": [
                    {"group": "", "resources": ["events", "nodes/status", "pods/status"]},
                    {"group": "events.k8s.io"},
                    {"group": "coordination.k8s.io", "resources": ["leases"]},
                    {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
                    {"group": "authorization.k8s.io"},
                ],
            },
            {
                "level": "Metadata",
                "resources": [
                    {
                        "group": "",
                        "resources": [
                            "secrets",
                            "serviceaccounts/token",
                            "pods/attach",
                            "pods/ephemeralcontainers",
                            "pods/exec",
                            "pods/portforward",
                            "pods/proxy",
                            "nodes/proxy",
                            "services/proxy",
                        ],
                    }
                ],
            },
            {"level": "None", "verbs": ["get", "list", "watch"]},
            {"level": "None", "nonResourceURLs": ["*"]},
            {"level": "Metadata"},
        ],
    }
