"""Offline training workspace of Windhover (AGPL-3.0, because it builds on Ultralytics)."""

__version__ = "0.1.0"
