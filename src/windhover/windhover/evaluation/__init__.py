"""Scores and how they are shown: detections, tracks, latency, the report.

Nothing is imported here on purpose: nodes use :mod:`.latency` on their hot
path and must not load pycocotools or matplotlib for it.
"""
