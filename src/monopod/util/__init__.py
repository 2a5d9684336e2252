"""Helpers without knowledge of Kubernetes or machines."""
