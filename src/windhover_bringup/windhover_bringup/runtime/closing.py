"""What a run says in its last line."""

from __future__ import annotations

from windhover.sources import is_device
from windhover_bringup.runtime.composed import Pipeline


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
