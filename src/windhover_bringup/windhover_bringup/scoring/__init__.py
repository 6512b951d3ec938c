"""Scoring a finished run; needs windhover_evaluation."""
