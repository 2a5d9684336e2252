"""Admission: marks each pod that matches a Fargate profile for ``fargate-scheduler``.

It decides at creation, once, as AWS's webhook does. When it cannot be reached, pods are created as
they are (the configuration fails open); those that slipped past so are found and reported.
"""
