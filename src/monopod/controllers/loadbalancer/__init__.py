"""Load balancers with IP targets: Services of class NLB and Ingresses of class ALB, on HAProxy.

Level-triggered: each reconcile derives everything from the objects in the API server: Services,
Ingresses and EndpointSlices → plain data (``model``) → HAProxy's configuration (``render``).
"""
