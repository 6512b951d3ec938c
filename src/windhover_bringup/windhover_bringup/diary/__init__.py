"""The archive of ``windhover profile``: a first day on a board, to be judged from afar."""
