"""Faults that a drone meets, injected into the real chain, and what each of them costs.

``python -m tests.faults`` (``make faults``) runs all of them and prints the table of the
README; ``test_faults.py`` runs short ones among the other tests.
"""
