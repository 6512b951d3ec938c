"""Lifecycle node: frames of two cameras to one picture of four planes."""
