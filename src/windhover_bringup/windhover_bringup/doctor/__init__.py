"""Checks of this machine and device for ``windhover doctor``."""
