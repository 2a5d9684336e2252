"""The EKS API for Fargate profiles, as AWS's own clients speak it: signed REST-JSON over TLS.

It is a second API to the same FargateProfile objects that ``kubectl`` manages, and has no state.
Callers authenticate with an access key and have the key's user's RBAC permissions.
"""
