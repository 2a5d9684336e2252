"""``fargate-scheduler``: beside the default scheduler, it places pods on machines of their own."""
