"""Which cells learn which object, where small objects lie inside the boxes of others.

A rifle lies within the box of whoever carries it. Ultralytics' task-aligned assigner gives
a cell that two objects claim to the one whose box is predicted better, which is always the
person's, and counts a claim only by overlap, which is nothing for a box of 20 x 5 pixels
until it is learnt: the small class then gets no cell, no target and no gradient (measured:
no weapon above score 0.01 after 540 steps). Here the much smaller of two claimants wins,
and small boxes also count by the normalised Wasserstein distance (Wang, Xu, Yang, Yu, "A
Normalized Gaussian Wasserstein Distance for Tiny Object Detection", arXiv:2110.13389),
which does not vanish beside them.
"""

from __future__ import annotations

from typing import Any, Final

import torch

from .. import compat  # noqa: F401  (must come before ultralytics)

from ultralytics.utils.tal import TaskAlignedAssigner  # isort: skip

#: Boxes with a side under this many pixels also count by distance.
SMALL_PX: Final = 16.0
_DISTANCE_PX: Final = 12.8
#: No more than this by distance alone: a good overlap must still be worth more.
_DISTANCE_SHARE: Final = 0.5
#: A claimant wins against a better predicted one if its area is at most this share.
_NESTED: Final = 0.5


class NestedAssigner(TaskAlignedAssigner):
    """Task-aligned assignment in which what lies inside another object gets cells too."""

    @classmethod
    def like(cls, other: TaskAlignedAssigner) -> NestedAssigner:
        """One with the settings of a plain assigner."""
        names = ("topk", "topk2", "num_classes", "alpha", "beta", "stride", "eps")
        return cls(**{name: getattr(other, name) for name in names})

    def _forward(
        self,
        pd_scores: torch.Tensor,
        pd_bboxes: torch.Tensor,
        anc_points: torch.Tensor,
        gt_labels: torch.Tensor,
        gt_bboxes: torch.Tensor,
        mask_gt: torch.Tensor,
        **extra: Any,
    ) -> tuple[torch.Tensor, ...]:
        self._areas = (gt_bboxes[..., 2:] - gt_bboxes[..., :2]).prod(-1)
        return super()._forward(
            pd_scores, pd_bboxes, anc_points, gt_labels, gt_bboxes, mask_gt, **extra
        )

    def iou_calculation(self, gt_bboxes: torch.Tensor, pd_bboxes: torch.Tensor) -> torch.Tensor:
        """Overlap of ``(N, 4)`` boxes and predictions; for small boxes at least by distance."""
        overlap = super().iou_calculation(gt_bboxes, pd_bboxes)
        sides = gt_bboxes[..., 2:] - gt_bboxes[..., :2]
        small = sides.amin(-1) < SMALL_PX
        return torch.where(
            small,
            torch.maximum(overlap, _DISTANCE_SHARE * closeness(gt_bboxes, pd_bboxes)),
            overlap,
        )

    def select_highest_overlaps(
        self,
        mask_pos: torch.Tensor,
        overlaps: torch.Tensor,
        n_max_boxes: int,
        align_metric: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give cells that several objects claim to one of them; see the base class."""
        claimed = mask_pos > 0
        areas = self._areas[..., None].expand_as(overlaps)
        best = torch.where(claimed, overlaps, -1.0).argmax(1, keepdim=True)
        smallest = torch.where(claimed, areas, torch.inf).argmin(1, keepdim=True)
        nested = areas.gather(1, smallest) <= _NESTED * areas.gather(1, best)
        winner = torch.where(nested, smallest, best)
        chosen = torch.zeros_like(mask_pos).scatter_(1, winner, 1)
        shared = claimed.sum(1, keepdim=True) > 1
        mask_pos = torch.where(shared, chosen, mask_pos)
        return super().select_highest_overlaps(mask_pos, overlaps, n_max_boxes, align_metric)


def closeness(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Normalised Wasserstein distance of ``(N, 4)`` x1, y1, x2, y2 boxes, 1 for equal ones."""
    centres = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    halves = (a[..., 2:] - a[..., :2] - b[..., 2:] + b[..., :2]) / 2
    distance = torch.sqrt(centres.square().sum(-1) + halves.square().sum(-1))
    return torch.exp(-distance / _DISTANCE_PX)
