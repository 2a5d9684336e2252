"""The embedded control plane: the processes of a real cluster, supervised by s6, on one host.

Every process is *crash-only*: stopping one means killing it, and it must start from any state it
finds. So there is one path to test, and ``monopod down`` depends on no process's cooperation.
"""
