"""The device plug-in: gives launcher pods ``/dev/kvm`` and ``/dev/net/tun`` without privilege.

One runs on each host. A device is a resource of the host's node, so the cluster's scheduler puts
machines that need it only where it is.
"""
