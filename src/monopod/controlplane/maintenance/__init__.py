"""Maintenance of the host: pods are moved off or ended with grace, before it is shut down."""
