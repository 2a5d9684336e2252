"""What scanners that others wrote find in a cluster, recorded and explained one by one.

``make scan`` runs them all on a control plane and the guest image and compares the counts with
``findings.json`` and docs/reference/hardening.md.
"""
