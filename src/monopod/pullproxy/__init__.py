"""The pull proxy: machines pull images of private registries by it and never see a password.

It answers read-only requests of the distribution API, for the repositories that the credentials of
a machine's execution role cover, and calls the registry with these credentials. It runs in a
separate network namespace, from which nothing of the cluster is reached, and has no identity at
the API server: the MicroVM controller gives it each machine's credentials as a file
(:mod:`monopod.identity.pull_grant`).
"""
