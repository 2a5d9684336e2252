"""What runs in a launcher pod: one machine of a cluster whose hosts are Kubernetes nodes.

Container ``network`` makes the pod's network namespace the machine's router, hands the machine's
links over and keeps nothing. Container ``machine`` runs the VMM, without a capability ever.
"""
