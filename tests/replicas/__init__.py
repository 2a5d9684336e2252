"""Replicas of the controllers as processes, which tests kill and suspend."""
