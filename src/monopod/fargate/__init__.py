"""Fargate's published rules: profiles, sizes, what it does not run. No I/O."""
