"""Nothing of the training environment looks for a network when it is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

pytestmark = pytest.mark.train_env

#: Notes every address that is looked up or connected to.
PROGRAM = """
import socket
asked = []
def refuse(*arguments, **_):
    asked.append(str(arguments[-1] if arguments else ""))
    raise OSError("no network in this test")
socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = lambda self, address: refuse(address)
import windhover_training.engine.model, windhover_training.engine.qat
import ultralytics
import ultralytics.utils.events
assert not asked, asked
assert not ultralytics.utils.events.events.enabled
assert not ultralytics.utils.ONLINE
assert not ultralytics.utils.AUTOINSTALL
"""


def test_ultralytics_and_aimet_ask_for_no_address() -> None:
    # Ultralytics is quiet where pytest's own marks say that it is being tested.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("YOLO_OFF", "YOLO_AUTO"))}
    kept = {k: v for k, v in kept.items() if "PYTEST" not in k}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
