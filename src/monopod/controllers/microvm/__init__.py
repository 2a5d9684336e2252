"""The MicroVM controller: address, identity, launch, conditions and termination of each machine.

``decide`` chooses one of ``actions`` from a machine's ``state``; ``controller`` reconciles each
MicroVM and ``handlers`` carries the actions out; ``garbage_collector`` removes host resources whose
MicroVM is gone.
"""
