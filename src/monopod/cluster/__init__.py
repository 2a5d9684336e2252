"""The embedded control plane: a real cluster's processes, supervised by s6, on this one host.

Every process is *crash-only*: to stop one is to kill it, and whatever it finds when it starts
again it must cope with. So there is one path to test, and ``monopod down`` needs nobody's good
will.
"""
