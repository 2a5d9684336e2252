"""The life of a MicroVM: address, identity, launch, conditions, and its end.

``steps`` decides, ``acts`` does, ``controller`` runs the two against the API server, ``garbage``
looks for what no step would find.
"""
