"""Lifecycle nodes that publish RGB and thermal images with the time they were taken."""
