"""Windhover: drone perception as a plain Python library (no ROS needed)."""

__version__ = "0.1.0"
