"""The sidecar controllers: they make injections from DaemonSets, and report who carries them.

The pods' webhook injects; nothing here is in the way of a pod but copies of ConfigMaps.
"""
