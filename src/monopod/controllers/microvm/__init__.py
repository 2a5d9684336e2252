"""The MicroVM controller: address, identity, launch, conditions and termination of each machine.

``decision`` chooses the next of ``steps`` from ``facts``; ``controller`` reconciles each MicroVM
and ``handlers`` carries the actions out; ``garbage`` collects host resources whose MicroVM is gone.
"""
