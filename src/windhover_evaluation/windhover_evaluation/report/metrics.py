"""Contents of metrics.json, and how scores are written into it.

One object with those of these parts that a run has:

- ``format``: ``windhover-metrics/1``.
- ``run``: what was run, name to text: model, backend, machine, source, date.
- ``images``: ``total``, ``unreadable`` (``file_name``, ``reason`` of each).
- ``detection``: ``overall`` (``mAP50``, ``mAP50-95``, ``AR``: means of the labels that
  have objects; ``precision``, ``recall``, ``f1``: all labels added up), ``classes`` by
  label (``AP50``, ``AP50-95``, ``AR``: COCO's average recall; ``precision``,
  ``recall``, ``f1`` and the counts behind them at ``score_threshold`` and ``iou``;
  ``best_f1``: the same at the
  threshold where F1 is highest), ``empty_images`` (images without an object: how many
  there are, how many of them have a detection, and the false alarms in all and per
  image), ``confusion`` (``labels``, and ``counts`` with a row for each
  and one for nothing: see :mod:`.confusion`), ``groups``
  (the same of day and night and of each altitude band, where the truth has them, and of
  objects by size).
- ``tracking``: ``overall`` and ``classes`` (``HOTA``, ``DetA``, ``AssA``, ``MOTA``,
  ``MOTP``, ``IDF1``, ``id_switches``, ``fragments`` and counts), at IoU 0.5 but for
  the first three, which are means over IoU 0.05 to 0.95.
- ``baseline``: the scores of an earlier run beside these, see :mod:`.baseline`.
- ``latency_ms`` by stage: ``p50``, ``p99``, ``mean``, ``max``, ``worst`` (since the
  start), ``count``; ``capture_to_tracks`` is from a frame's stamp to its tracks. Where an
  HTP emulator ran the model they are no latencies, and are ``emulator_host_ms``.
- ``warnings``: what to know before trusting the numbers.

Scores are 0 to 1 (MOTA may be below 0). One that is not defined, such as the AP of
a class of which there is no object, is ``null``, never a number.
"""

from __future__ import annotations

from typing import Any

from windhover_evaluation.detection.coco import MAX_DETECTIONS
from windhover_evaluation.detection.confusion import Confusion
from windhover_evaluation.detection.operating_points import OperatingPoint
from windhover_evaluation.detection.scores import ClassScores, DetectionScores
from windhover_evaluation.tracking.mot_counts import MATCH_IOU
from windhover_evaluation.tracking.scores import TrackCounts, TrackScores


def detection_metrics(
    scores: DetectionScores, confusion: Confusion | None = None
) -> dict[str, Any]:
    """The ``detection`` part."""
    mixed = (
        {}
        if confusion is None
        else {"confusion": {"labels": confusion.labels, "counts": confusion.counts}}
    )
    return {
        "settings": {
            "iou": MATCH_IOU,
            "max_detections_per_image_and_class": MAX_DETECTIONS,
        },
        **_detection_part(scores),
        **mixed,
        "groups": {
            kind: {name: _detection_part(part) for name, part in parts.items()}
            for kind, parts in scores.groups.items()
        },
    }


def tracking_metrics(scores: TrackScores) -> dict[str, Any]:
    """The ``tracking`` part."""
    return {
        "settings": {"iou": MATCH_IOU},
        "frames": scores.frames,
        "overall": _track_counts(scores.overall),
        "classes": {each.label: _track_counts(each) for each in scores.classes},
    }


def _detection_part(scores: DetectionScores) -> dict[str, Any]:
    return {
        "images": scores.images,
        "overall": {
            "mAP50": scores.map50,
            "mAP50-95": scores.map50_95,
            "AR": scores.mean_recall,
            **_point(scores.at_threshold),
        },
        "classes": {each.label: _class(each) for each in scores.classes},
        "empty_images": {
            "images": scores.empty_images,
            "with_detections": scores.empty_images_with_detections,
            "false_positives": scores.empty_images_false_positives,
            "false_positives_per_image": scores.false_positives_per_empty_image,
        },
    }


def _class(scores: ClassScores) -> dict[str, Any]:
    return {
        "AP50": scores.ap50,
        "AP50-95": scores.ap50_95,
        "AR": scores.recall,
        **_point(scores.at_threshold),
        "objects": scores.truths,
        "ignored_regions": scores.ignored,
        "truth_categories": scores.truth_categories,
        "best_f1": _point(scores.best_f1) if scores.best_f1 else None,
    }


def _point(point: OperatingPoint) -> dict[str, Any]:
    return {
        "precision": point.precision,
        "recall": point.recall,
        "f1": point.f1,
        "score_threshold": point.threshold,
        "true_positives": point.true_positives,
        "false_positives": point.false_positives,
        "false_negatives": point.false_negatives,
    }


def _track_counts(counts: TrackCounts) -> dict[str, Any]:
    return {
        "HOTA": counts.hota,
        "DetA": counts.det_a,
        "AssA": counts.ass_a,
        "MOTA": counts.mota,
        "MOTP": counts.motp,
        "IDF1": counts.idf1,
        "id_switches": counts.clear.switches,
        "fragments": counts.clear.fragments,
        "objects": counts.objects,
        "tracks": counts.tracks,
        "mostly_tracked": counts.clear.mostly_tracked,
        "mostly_lost": counts.clear.mostly_lost,
        "true_positives": counts.clear.true_positives,
        "false_positives": counts.clear.false_positives,
        "false_negatives": counts.clear.false_negatives,
    }
