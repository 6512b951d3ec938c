"""Faults that a drone meets, put upon the real chain, and what is lost by each.

``python -m tests.faults`` (``make faults``) runs all of them and prints the table of the
README; ``test_faults.py`` runs short ones among the other tests.
"""
