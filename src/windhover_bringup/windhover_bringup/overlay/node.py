"""Draws tracks on their images, only while someone subscribes.

It is a separate node so that the tracker needs no images, and a drone that nobody watches can
run without it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
from pydantic import Field
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from windhover.errors import DataError, EncodingError
from windhover.imaging.display import draw_results
from windhover.types import Detections, Frame, Tracks
from windhover_ros import qos, topics
from windhover_ros.cdr import CdrWriter
from windhover_ros.diagnostics import Level
from windhover_ros.images import frame_from_image, to_ns
from windhover_ros.lifecycle import StageNode, StageParams
from windhover_ros.links import LatestSlot
from windhover_ros.messages import LabelTable, deserialize_results, to_tracks
from windhover_ros.params import read_only
from windhover_ros.runner import run_node

# Tracks arrive some tens of milliseconds after their image.
KEPT_IMAGES = 8

Job = tuple[Frame, Tracks, tuple[str, ...]]


class OverlayParams(StageParams):
    """Parameters of the overlay node."""

    image_topic: str = read_only(
        topics.camera_image("thermal"), description="images that the tracks belong to"
    )
    jpeg_quality: int = Field(80, ge=1, le=100, description="JPEG quality of the overlay")


class OverlayNode(StageNode[OverlayParams]):
    """Publishes ``overlay/image/compressed``.

    Args:
        overrides: parameter values from a config.
        namespace: ROS namespace.
        linked: the tracker is in this process and calls :meth:`offer`.
    """

    params_model = OverlayParams
    stages = ("draw",)

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        namespace: str = "",
        linked: bool = False,
    ) -> None:
        super().__init__("overlay", overrides, namespace)
        self._linked = linked
        self._slot: LatestSlot[Job] = LatestSlot()
        self._table = LabelTable()
        self._images: OrderedDict[int, Image] = OrderedDict()
        self._inputs: list[Any] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._overlays = self.advertise(CompressedImage, topics.OVERLAY, qos.image())

    @property
    def watched(self) -> bool:
        """Whether anybody subscribes."""
        return self.state == "active" and self._overlays.get_subscription_count() > 0

    def start(self) -> None:
        """Begin to draw in a thread."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="overlay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop drawing."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout=5.0)
        self._listen(False)

    def tick(self) -> None:
        """Subscribe to images only while someone subscribes to the overlay."""
        super().tick()
        if not self._linked:
            self._listen(self.watched)
        # Having nothing to draw is no fault.
        self.health.set_active(self.watched)

    def offer(
        self, frame: Frame, _detections: Detections, tracks: Tracks, labels: Sequence[str]
    ) -> None:
        """Take a frame and its tracks from this process; the newest is drawn."""
        if self.watched:
            self._slot.put((frame, tracks, tuple(labels)))

    def _run(self) -> None:
        while not self._stopping.is_set():
            job = self._slot.take(0.2)
            if job is None:
                continue
            try:
                self._draw(*job)
            except (EncodingError, cv2.error) as error:
                self.health.problem("draw", Level.ERROR, f"overlay: {error}", for_s=10.0)

    def _draw(self, frame: Frame, tracks: Tracks, labels: Sequence[str]) -> None:
        before = time.monotonic_ns()
        picture = draw_results(frame, tracks, labels)
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.params.jpeg_quality]
        data = cv2.imencode(".jpg", picture, quality)[1]
        writer = CdrWriter()
        writer.header(frame.stamp_ns, frame.frame_id)
        writer.string("bgr8; jpeg compressed bgr8")
        writer.blob(data.tobytes())
        self._overlays.publish(writer.getvalue())
        self.health.timings.record("draw", time.monotonic_ns() - before)
        self.health.frame(self.get_clock().now().nanoseconds - frame.stamp_ns)

    def _listen(self, yes: bool) -> None:
        if yes and not self._inputs:
            self._inputs = [
                self.listen(Image, self.params.image_topic, self._on_image, qos.image()),
                self.listen(
                    Detection2DArray, topics.TRACKS, self._on_tracks, qos.result(), raw=True
                ),
            ]
        elif not yes and self._inputs:
            for subscription in self._inputs:
                self.destroy_subscription(subscription)
            self._inputs = []
            self._images.clear()

    def _on_image(self, message: Image) -> None:
        self._images[to_ns(message.header.stamp)] = message
        while len(self._images) > KEPT_IMAGES:
            self._images.popitem(last=False)

    def _on_tracks(self, data: bytes) -> None:
        try:
            result = deserialize_results(data)
            image = self._images.pop(result.stamp_ns, None)
            if image is not None:
                tracks = to_tracks(result, self._table)
                self._slot.put((frame_from_image(image), tracks, tuple(self._table.labels)))
        except (DataError, EncodingError) as error:
            self.health.problem("message", Level.ERROR, str(error), for_s=10.0)


def main() -> int:
    """Run the node in its own process."""
    return run_node(OverlayNode)


if __name__ == "__main__":
    raise SystemExit(main())
