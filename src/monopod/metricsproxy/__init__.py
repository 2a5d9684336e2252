"""Serves the metrics of the control plane's processes to those that RBAC lets read them.

Each process serves its own metrics without TLS on an address that nothing outside the control plane
reaches. This one adds TLS, authentication and authorization, as kube-rbac-proxy does, and has no
other rights.
"""
