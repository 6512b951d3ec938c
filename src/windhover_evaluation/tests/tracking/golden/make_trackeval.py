"""Write trackeval.json: random sequences and what TrackEval makes of them.

Run with TrackEval 1.3.0 importable (``pip install trackeval``):
``python make_trackeval.py``. The tests read its output, so that they hold our
scores equal to TrackEval's where TrackEval is not installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def sequence(seed: int, frames: int, objects: int, noise: float) -> dict[str, list[list[float]]]:
    """Objects on straight paths; tracks that miss, jitter, swap and invent.

    Rows are frame, id, x1, y1, x2, y2.
    """
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 400, (objects, 2))
    speed = rng.uniform(-4, 4, (objects, 2))
    size = rng.uniform(12, 40, (objects, 2))
    span = np.sort(rng.integers(0, frames + 1, (objects, 2)), axis=1)
    track_of = np.arange(objects) + 100
    truth, result = [], []
    for frame in range(frames):
        if objects > 1 and rng.random() < 0.15:
            a, b = rng.choice(objects, 2, replace=False)
            track_of[[a, b]] = track_of[[b, a]]
        for number in range(objects):
            if not span[number, 0] <= frame < span[number, 1]:
                continue
            low = start[number] + speed[number] * frame
            box = [*low.tolist(), *(low + size[number]).tolist()]
            truth.append([frame, number, *box])
            if rng.random() > 0.2:
                moved = np.array(box) + rng.normal(0, noise, 4)
                result.append([frame, int(track_of[number]), *moved.tolist()])
        if rng.random() < 0.3:
            low = rng.uniform(0, 400, 2)
            result.append([frame, 500 + frame // 3, *low.tolist(), *(low + 25).tolist()])
    return {"truth": truth, "result": result}


def trackeval_data(rows: dict[str, list[list[float]]], frames: int) -> dict[str, Any]:
    """The dictionary that TrackEval's metrics take."""
    from windhover.boxes import iou_matrix

    truth = np.array(rows["truth"], float).reshape(-1, 6)
    result = np.array(rows["result"], float).reshape(-1, 6)
    gt_names, gt = np.unique(truth[:, 1], return_inverse=True)
    tr_names, tr = np.unique(result[:, 1], return_inverse=True)
    data: dict[str, Any] = {
        "num_timesteps": frames,
        "num_gt_ids": len(gt_names),
        "num_tracker_ids": len(tr_names),
        "num_gt_dets": len(truth),
        "num_tracker_dets": len(result),
        "gt_ids": [],
        "tracker_ids": [],
        "similarity_scores": [],
    }
    for frame in range(frames):
        t, r = truth[:, 0] == frame, result[:, 0] == frame
        data["gt_ids"].append(gt[t])
        data["tracker_ids"].append(tr[r])
        data["similarity_scores"].append(iou_matrix(truth[t, 2:], result[r, 2:]))
    return data


def trackeval_scores(rows: dict[str, list[list[float]]], frames: int) -> dict[str, float]:
    """What TrackEval 1.3.0 makes of a sequence."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    data = trackeval_data(rows, frames)
    clear = CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
    ids = Identity({"PRINT_CONFIG": False}).eval_sequence(data)
    hota = HOTA().eval_sequence(data)
    names = ("MOTA", "MOTP", "CLR_TP", "CLR_FP", "CLR_FN", "IDSW", "Frag", "MT", "ML")
    return {
        **{name: float(clear[name]) for name in names},
        **{name: float(ids[name]) for name in ("IDF1", "IDTP", "IDFP", "IDFN")},
        **{name: float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA")},
    }


CASES = [(1, 30, 6, 1.0), (2, 30, 1, 2.0), (3, 20, 12, 4.0), (4, 25, 8, 7.0), (5, 12, 3, 0.0)]


def main() -> None:
    """Write the file next to this script."""
    cases = []
    for seed, frames, objects, noise in CASES:
        rows = sequence(seed, frames, objects, noise)
        rows = {key: [[round(v, 2) for v in row] for row in part] for key, part in rows.items()}
        cases.append({"frames": frames, **rows, "trackeval": trackeval_scores(rows, frames)})
    target = Path(__file__).with_name("trackeval.json")
    target.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
