"""Keeps the router in step with VPCs, subnets, security groups and network policies."""
