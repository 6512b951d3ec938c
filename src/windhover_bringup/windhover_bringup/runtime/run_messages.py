"""What a run in one process prints at its start and at its end."""

from __future__ import annotations

import os
import shutil

from windhover.sources import is_device
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.start_block import start_block
from windhover_ros import topics


def opening_block(pipeline: Pipeline, next_step: str | None = None) -> str:
    """What runs, on what, where its results are and how to look at them; a line each.

    Args:
        pipeline: started.
        next_step: what to open or do; ``None`` for how to look at the topics.
    """
    bundle, detector = pipeline.bundle, pipeline.detector
    values = detector.health.report().values
    sources = ", ".join(dict.fromkeys(camera.params.source for camera in pipeline.cameras))
    size = f"{bundle.input.width}x{bundle.input.height}"
    results = [
        detector.resolve_topic_name(topics.DETECTIONS),
        pipeline.tracker.resolve_topic_name(topics.TRACKS),
    ]
    if pipeline.overlay is not None:
        results.append(pipeline.overlay.resolve_topic_name(topics.OVERLAY))
    return start_block(
        {
            "model": f"{bundle.name} {bundle.version}, {bundle.modality} {size}",
            "backend": f"{values.get('backend', '')}: {values.get('device', '')}",
            "input": sources,
            "topics": ", ".join(results),
            "domain": os.environ.get("ROS_DOMAIN_ID", "0"),
            "next": look_at(results[1]) if next_step is None else next_step,
        }
    )


def look_at(tracks: str) -> str:
    """How to look at a run that has just started.

    Args:
        tracks: name of its topic of tracks.
    """
    listen = f"ros2 topic echo {tracks}"
    if shutil.which("ros2") is None:
        # Only a ROS installation has ROS's command line.
        remapped = "" if tracks == "/tracks" else f" --ros-args -r tracks:={tracks}"
        listen = f"python examples/mission_consumer.py{remapped}"
    return f"{listen}; windhover health; examples/foxglove.json"


def closing_line(pipeline: Pipeline) -> str:
    """How many frames were processed and dropped, and how to drop none."""
    dropped = pipeline.link.dropped + (pipeline.pairing.intake.dropped if pipeline.pairing else 0)
    live = any(is_device(camera.params.source) for camera in pipeline.cameras)
    return frames_line(pipeline.tracker.health.frames.count, dropped, live)


def frames_line(done: int, dropped: int, live: bool) -> str:
    """The line for a number of frames.

    Args:
        done: frames that were tracked.
        dropped: frames that were not.
        live: whether a camera gave them, and no recording.
    """
    text = f"{done} frames detected and tracked"
    if not dropped:
        return f"{text}, none dropped"
    return (
        f"{text}, {dropped} dropped ({100 * dropped / (done + dropped):.0f} %) because they came "
        f"faster than they were processed: {_FASTER if live else _WAIT}"
    )


_WAIT = "--rate 0 in one process processes every frame of a recording"
_FASTER = "choose a faster backend or model, or a lower frame rate of the camera"
