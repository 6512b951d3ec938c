"""Lifecycle node: detections to tracks with ids that last."""
