"""Conversion to the one layout, splits and filters."""
