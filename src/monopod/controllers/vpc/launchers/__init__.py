"""Enforces network policies in the routers of launcher pods, in clusters with their own network."""
