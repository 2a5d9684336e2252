"""``bench start``: measures the phases of a pod's start and the footprint of idle machines.

One process watches the pods on one clock and compares them with the same pod on a baseline node of
the same cluster, host and run. What was not observed is reported as such, never estimated.
"""
