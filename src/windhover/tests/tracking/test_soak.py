"""Minutes of tracking: what is kept does not grow. ``python -m bench.soak`` plays an hour."""

import json
import sys

import pytest

from tests.support.processes import ROOT, finished, start

# In its own process: memory that other tests have left in this one may be freed at any time.
PROGRAM = """
import json
from bench.soak import run
run(900)  # what is loaded and allocated once
soak = run(3600, seed=1)
first, last = soak.rss_mib[0][1], soak.rss_mib[-1][1]
print(json.dumps({"grown_mib": last - first, "tracks": soak.most_tracks, "ids": soak.ids}))
"""


@pytest.mark.slow
def test_memory_is_constant_over_minutes():
    out, err = finished(start(sys.executable, "-c", PROGRAM, cwd=ROOT), 1200.0)
    assert out, err
    soak = json.loads(out)
    # A frame that kept as little as its detections' boxes would be 1.4 MiB here.
    assert soak["grown_mib"] < 0.7
    assert soak["tracks"] < 100
    assert soak["ids"] > 50
