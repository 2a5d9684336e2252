"""Workloads that belong to the platform and run in pods on Fargate, as users' do."""
