"""Scores of a checkpoint or an exported graph on held-out images."""
