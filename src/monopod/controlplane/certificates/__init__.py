"""Keeps the control plane's certificates valid for as long as the cluster runs."""
