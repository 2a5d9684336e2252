"""Monopod: an open, self-hosted AWS Fargate for Kubernetes.

One pod, one microVM, one node. The packages below this one are rooms that a pod passes once, in
the order that ``docs/architecture.md`` draws; lower rooms know nothing of higher ones.
"""
