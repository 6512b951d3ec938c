"""Readers of published data sets and of converted sets."""
