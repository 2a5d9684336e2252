"""``bench start``: how long each phase of a pod's start takes, and what an idle machine costs.

Pods are watched in one process and on one clock, and compared with the same pod on an ordinary
node of the same cluster, host and run. What was not seen is said, never estimated.
"""
