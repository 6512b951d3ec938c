"""Health of a running system."""
