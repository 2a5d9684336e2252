"""The life of a MicroVM: address, identity, launch, conditions, and its end.

``decision`` chooses the next of ``steps`` from ``facts``; ``controller`` carries it out against the
API server; ``garbage`` collects host resources whose MicroVM is gone.
"""
