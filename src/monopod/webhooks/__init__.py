"""Admission: marks each pod that matches a Fargate profile for ``fargate-scheduler``.

It decides once, at creation, as AWS's webhook does. While it is unreachable, pods are created as
they are (``failurePolicy: Ignore``); pods missed that way are detected and reported.
"""
