"""Fixtures that tests of more than one package use."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PATIENCE_S = 120.0


def wait_for(
    predicate: Callable[[], object],
    what: str,
    timeout_s: float = PATIENCE_S,
    pause_s: float = 0.01,
) -> None:
    """Wait until something holds; a busy machine gets all the time it needs."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(pause_s)


def problems(node: Any) -> list[str]:
    """All that a node has to say of itself now; on a busy machine it is late as well."""
    values = node.health.report().values
    return [text for key, text in values.items() if key.startswith("problem_")]


class Nodes:
    """Nodes of one test, spun in one thread and destroyed at its end."""

    def __init__(self) -> None:
        from rclpy.executors import SingleThreadedExecutor

        self._executor = SingleThreadedExecutor()
        self._nodes: list[Any] = []
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._done = threading.Event()

    def add(self, node: Any) -> Any:
        """Take a node on; from here to the end of the test it is spun."""
        self._nodes.append(node)
        self._executor.add_node(node)
        if not self._thread.is_alive():
            self._thread.start()
        return node

    def listener(self, kind: Any, topic: str, profile: Any, raw: bool = False) -> list[Any]:
        """What arrives on a topic, in a list that grows."""
        import rclpy

        node = rclpy.create_node(f"listener_{len(self._nodes)}")
        got: list[Any] = []
        node.create_subscription(kind, topic, got.append, profile, raw=raw)
        self.add(node)
        return got

    def close(self) -> None:
        """Stop spinning and destroy the nodes."""
        self._done.set()
        self._executor.wake()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)
            assert not self._thread.is_alive(), "a callback of the nodes does not return"
        self._executor.shutdown(timeout_sec=5.0)
        for node in reversed(self._nodes):
            node.close() if hasattr(node, "close") else node.destroy_node()

    def _spin(self) -> None:
        while not self._done.is_set():
            self._executor.spin_once(timeout_sec=0.1)


class Collector:
    """The end of a link that keeps every frame, in ``frames``."""

    dropped = 0
    closed = False

    def __init__(self) -> None:
        self.frames: list[Any] = []

    def put(self, frame: Any) -> bool:
        """Keep a frame."""
        self.frames.append(frame)
        return True

    def close(self) -> None:
        """Note that nothing more comes."""
        self.closed = True


def run_to_end(pipeline: Any) -> list[tuple[Any, Any, Any]]:
    """Run a composed process over a recorded source; each frame, its detections and tracks."""
    from windhover_ros.runner import spin_in_threads

    seen: list[tuple[Any, Any, Any]] = []
    pipeline.tap(lambda frame, detections, tracks, labels: seen.append((frame, detections, tracks)))
    pipeline.start()
    with spin_in_threads(pipeline.nodes):
        wait_for(pipeline.finished, "the end")
    return seen


@pytest.fixture(scope="module")
def ros() -> Iterator[None]:
    """A real rclpy, initialised once a test file."""
    pytest.importorskip("rclpy", reason="rclpy is not installed: run 'make setup'")
    pytest.importorskip("vision_msgs", reason="vision_msgs is not built: run 'make setup'")
    from windhover_ros.runner import ros as running

    with ExitStack() as stack:
        stack.enter_context(running([]))
        yield


@pytest.fixture
def nodes(ros: None) -> Iterator[Nodes]:
    """Spins what a test adds to it."""
    # Lifecycle nodes refer to themselves: until they are collected, those of a test before
    # stand in ROS's graph under the same names.
    gc.collect()
    group = Nodes()
    yield group
    group.close()


@pytest.fixture(scope="session")
def blob_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real bundle that finds bright rectangles exactly."""
    from windhover_sim.blob_bundle import build_blob_bundle

    folder = tmp_path_factory.mktemp("models") / "blob"
    build_blob_bundle(folder, height=256, width=320)
    return folder


def with_quiet_point(bundle: Path, out: Path, quiet: dict[str, float]) -> Path:
    """A copy of a bundle that has the operating point ``quiet`` as well."""
    from windhover.model import Bundle, write_bundle

    shutil.copytree(bundle, out)
    known = Bundle.load(out)
    balanced = dict(zip(known.labels, known.thresholds.score_vector(known.labels), strict=True))
    manifest = known.model_dump(mode="json", exclude={"format", "files"}, exclude_none=True)
    write_bundle(out, {**manifest, "operating_points": {"balanced": balanced, "quiet": quiet}})
    return out


def blob_image(step: int, height: int = 256, width: int = 320) -> np.ndarray[Any, Any]:
    """A thermal-like image with a person and a vehicle, moved by ``step``."""
    image = np.full((height, width), 40, np.uint8)
    person_x, vehicle_x = 20 + 3 * step, 240 - 3 * step
    image[60:84, person_x : person_x + 24] = 230
    image[150:190, vehicle_x : vehicle_x + 40] = 150
    return image


PERSON_BOX = (20.0, 60.0, 44.0, 84.0)
VEHICLE_BOX = (240.0, 150.0, 280.0, 190.0)


@pytest.fixture
def blob_folder(tmp_path: Path) -> Path:
    """A folder of 30 images with two moving objects."""
    import cv2

    folder = tmp_path / "frames"
    folder.mkdir()
    for step in range(30):
        cv2.imwrite(str(folder / f"{step:03d}.png"), blob_image(step))
    return folder


@pytest.fixture(scope="session")
def rgbt_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for two cameras: it finds what is bright in red or in thermal."""
    from windhover_sim.blob_bundle import build_blob_bundle

    folder = tmp_path_factory.mktemp("models") / "blob-rgbt"
    build_blob_bundle(folder, height=256, width=320, channels="rgbt")
    return folder


@dataclass(frozen=True)
class TwoCameras:
    """Pictures of two cameras in which a person is warm and a vehicle is light.

    Attributes:
        folder: with ``rgb/`` and ``thermal/``.
        calibration: ``rgbt.yaml``: thermal lies 24 pixels to the left.
        count: pictures of each.
    """

    folder: Path
    calibration: Path
    count: int = 12

    def person(self, index: int) -> tuple[float, float, float, float]:
        """Box of the person on the RGB grid."""
        return (60.0 + 3 * index, 60.0, 84.0 + 3 * index, 84.0)

    def vehicle(self, index: int) -> tuple[float, float, float, float]:
        """Box of the vehicle."""
        return (240.0 - 3 * index, 150.0, 280.0 - 3 * index, 190.0)


@pytest.fixture
def two_cameras(tmp_path: Path) -> TwoCameras:
    """A folder of two cameras and their calibration."""
    import cv2

    from windhover.pairing.files import FixedHomography, save_rgbt

    matrix = np.array([[1.0, 0, -24], [0, 1, 0], [0, 0, 1]])
    calibration = save_rgbt(tmp_path / "cal", FixedHomography(matrix, (320, 256), (320, 256)))
    made = TwoCameras(tmp_path / "both", calibration)
    for name in ("rgb", "thermal"):
        (made.folder / name).mkdir(parents=True)
    for index in range(made.count):
        x1, y1, x2, y2 = map(int, made.person(index))
        thermal = np.full((256, 320), 40, np.uint8)
        thermal[y1:y2, x1 - 24 : x2 - 24] = 230
        cv2.imwrite(str(made.folder / "thermal" / f"{index:03d}.png"), thermal)
        x1, y1, x2, y2 = map(int, made.vehicle(index))
        rgb = np.full((256, 320, 3), 40, np.uint8)
        rgb[y1:y2, x1:x2] = 160
        cv2.imwrite(str(made.folder / "rgb" / f"{index:03d}.png"), rgb)
    return made


def data_folder() -> Path:
    """The aerial data sets; the test is skipped where they are absent."""
    folder = Path(
        os.environ.get("WINDHOVER_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data"
    )
    if not (folder / "hit_uav").is_dir():
        pytest.skip(f"no aerial data in {folder}: set WINDHOVER_DATA")
    return folder
