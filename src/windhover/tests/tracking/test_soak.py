"""Minutes of tracking: what is kept does not grow. ``python -m bench.soak`` plays an hour."""

import pytest

from bench.soak import run


@pytest.mark.slow
def test_memory_is_flat_over_minutes():
    run(900)  # what is loaded and allocated once
    soak = run(3600, seed=1)
    first, last = soak.rss_mib[0][1], soak.rss_mib[-1][1]
    # A frame that kept as little as its detections' boxes would be 1.4 MiB here.
    assert last - first < 0.7
    assert soak.most_tracks < 100
    assert soak.ids > 50
