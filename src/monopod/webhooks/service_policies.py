"""Admission policies on Services: no object takes an address that it was not given."""

from monopod.webhooks.policy import Manifest, policy


def manifests() -> list[Manifest]:
    """Return the policies and their bindings.

    kube-proxy drops or rejects what is sent to a load balancer's address in a Service's status if
    the Service has source ranges or no endpoints. Load balancers here are reached by their names,
    so no status needs such an address. External IPs are refused by an admission plugin.

    An administrator, who could delete the policy too, may write what Kubernetes allows.
    """
    return policy(
        "monopod-service-addresses",
        ["services/status"],
        [
            {
                "expression": "object.status.?loadBalancer.?ingress.orValue([]).all(each,"
                " !has(each.ip) || each.?ipMode.orValue('VIP') == 'Proxy')",
                "message": "status.loadBalancer.ingress: kube-proxy would take this address for"
                " the whole cluster: set a hostname, or ipMode to Proxy",
            }
        ],
        operations=("UPDATE",),
        conditions={"user": "!('system:masters' in request.userInfo.groups)"},
    )
