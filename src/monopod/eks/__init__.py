"""The EKS API for Fargate profiles, as AWS's own clients speak it: signed REST-JSON over TLS.

It is a second door to the very FargateProfile objects that ``kubectl`` makes and shows: it keeps
nothing of its own. Whoever asks proves who it is by an access key and may do what Kubernetes lets
the key's user do.
"""
