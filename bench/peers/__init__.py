"""Trackers of other projects beside ours, on the same detections; see run.py."""
