"""Load balancers with IP targets: Services of class NLB and Ingresses of class ALB, on HAProxy.

Everything is derived from objects in the API server, anew at every change: from Services, Ingresses
and EndpointSlices to plain data (``model``), from that to HAProxy's configuration (``render``).
"""
