"""The ``windhover`` command in a process that ends with the one that started it.

``python -m windhover_bringup.scoring.bag_process evaluate bag ...``: a worker that is killed leaves
no run behind that would write beside the one that takes its place.
"""

import ctypes
import signal

from windhover_bringup.cli import main

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    raise SystemExit(main())
