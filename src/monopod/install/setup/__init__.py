"""The job that completes an installation from within the cluster, and keeps it complete.

It makes the webhooks' certificate, whose authority it writes into the webhook configurations, and
one subnet for each zone of the cluster's nodes. Every run does what is missing or due.
"""
