"""ByteTrack with time in seconds and class-aware association."""

from windhover.tracking.bytetrack.params import ByteTrackParams
from windhover.tracking.bytetrack.tracker import ByteTracker

__all__ = ["ByteTrackParams", "ByteTracker"]
