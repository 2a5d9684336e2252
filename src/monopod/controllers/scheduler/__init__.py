"""``fargate-scheduler``: runs next to the default scheduler and gives each pod its own microVM."""
