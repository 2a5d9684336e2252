"""Monopod: an open, self-hosted AWS Fargate for Kubernetes.

One pod, one microVM, one node. A pod passes the packages below this one once, in the order
that ``docs/architecture.md`` draws; lower packages import no higher ones.
"""
