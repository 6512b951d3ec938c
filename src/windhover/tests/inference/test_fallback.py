import pytest

from windhover.inference import fallback
from windhover.inference.fallback import BackendChain


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_backend_that_rarely_fails_is_kept():
    clock = Clock()
    chain = BackendChain("dlc", after=3, clock=clock)
    for _ in range(20):
        chain.failed("dlc", "once more")
        clock.now += 31.0
    assert chain.current == "dlc"
    assert not chain.fallen_back


def test_a_backend_that_fails_too_often_is_replaced():
    chain = BackendChain("dlc", after=3, clock=Clock())
    for _ in range(3):
        chain.failed("dlc", "the DSP is gone")
    # Here the HTP is only emulated, so qnn is passed over.
    assert chain.current == "cpu"
    assert chain.fallen_back
    assert chain.why == "dlc failed 3 times in a minute (the DSP is gone)"


def test_on_a_device_the_other_htp_backend_is_next(monkeypatch):
    from dataclasses import replace

    entries = {k: replace(v, in_auto=lambda: True) for k, v in fallback.BACKENDS.items()}
    monkeypatch.setattr(fallback, "BACKENDS", entries)
    chain = BackendChain("auto", after=1, clock=Clock())
    chain.failed("dlc", "x")
    assert chain.current == "qnn"
    chain.failed("qnn", "y")
    assert chain.current == "cpu"


@pytest.mark.parametrize(("first", "after"), [("cpu", 1), ("dlc", 0)])
def test_the_last_backend_and_one_without_fallback_stay(first, after):
    chain = BackendChain(first, after=after, clock=Clock())
    for _ in range(10):
        chain.failed(first, "x")
    assert chain.current == first
