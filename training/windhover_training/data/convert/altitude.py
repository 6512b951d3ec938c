"""Keep the frames that were taken from a range of altitudes.

What is filtered is a converted set, VT-MOT as published, or any folder with a
``metadata.json``. Where a frame's altitude is from: its own record (``measured``), else a
table of flights (``table``), else, if asked for, the sizes of boxes (``estimate``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from windhover.errors import DataError
from windhover.files import write_json
from windhover_evaluation.fan_out import HERE, Progress, Workers, open_workers
from windhover_training.data.convert.altitude_estimate import CameraView, estimate_altitude
from windhover_training.data.convert.candidates import Candidate, Sizes, list_candidates
from windhover_training.data.convert.summary import Summary
from windhover_training.data.convert.writer import WriteOptions, link_or_copy, write_set
from windhover_training.data.readers.dataset import load_set
from windhover_training.data.readers.metadata import FILTERED, Flight, tell_unused
from windhover_training.data.readers.records import LabelledFrame
from windhover_training.outputs import clear_folder, new_folder, refuse_to_overwrite

_CHUNK = 256  # files a task; most are one link
_TASK = ".filter.json"  # in a folder that is not complete: what it is going to hold


@dataclass(frozen=True, slots=True)
class AltitudeFilter:
    """What to keep and where altitudes may come from.

    Attributes:
        low: metres; a frame at exactly this is kept.
        high: metres, likewise.
        table: flight -> altitude.
        lens: given, altitudes that nothing tells are estimated.
    """

    low: float
    high: float
    table: Mapping[str, Flight] = field(default_factory=dict)
    lens: CameraView | None = None


def choose(
    candidates: Sequence[Candidate], wanted: AltitudeFilter, summary: Summary
) -> list[Candidate]:
    """The frames to keep, each with its altitude and where that is from.

    Args:
        candidates: all frames.
        wanted: what to keep.
        summary: receives how many were kept and dropped, and those without an altitude.
    """
    estimates = _estimates(candidates, wanted) if wanted.lens is not None else {}
    kept = []
    for candidate in candidates:
        known = _with_altitude(candidate, wanted, estimates)
        item = str(candidate.record.get("image_path"))
        if known.altitude is None:
            summary.add("dropped", "frame: without altitude", item)
        elif wanted.low <= known.altitude <= wanted.high:
            summary.add("kept", f"frame: altitude {known.source}")
            kept.append(known)
        else:
            side = "below" if known.altitude < wanted.low else "above"
            summary.add("dropped", f"frame: {side} {wanted.low:g}-{wanted.high:g} m", item)
    tell_unused(wanted.table, {candidate.flight for candidate in candidates}, summary)
    return kept


def _with_altitude(
    candidate: Candidate, wanted: AltitudeFilter, estimates: Mapping[str, float]
) -> Candidate:
    if candidate.altitude is not None:
        return candidate
    flight = wanted.table.get(candidate.flight)
    if flight is not None:
        return replace(candidate, altitude=flight.altitude, source="table")
    if candidate.flight in estimates:
        return replace(candidate, altitude=estimates[candidate.flight], source="estimate")
    return candidate


def _estimates(candidates: Sequence[Candidate], wanted: AltitudeFilter) -> dict[str, float]:
    """One altitude a flight, from all its boxes: single frames would scatter too much."""
    assert wanted.lens is not None
    flights: dict[str, list[Sizes]] = {}
    for candidate in candidates:
        if candidate.altitude is None and candidate.sizes is not None:
            flights.setdefault(candidate.flight, []).append(candidate.sizes)
    found = {}
    for flight, sizes in flights.items():
        boxes = np.concatenate([each.boxes for each in sizes])
        people = np.concatenate([each.people for each in sizes])
        pitches = [wanted.lens.pitch_deg if s.pitch is None else s.pitch for s in sizes]
        pitch = np.repeat(pitches, [len(each.boxes) for each in sizes])
        result = estimate_altitude(boxes, people, sizes[0].image, wanted.lens, pitch)
        if result is not None:
            found[flight] = round(result[0], 1)
    return found


def filter_set(
    root: Path,
    out: Path,
    wanted: AltitudeFilter,
    summary: Summary,
    *,
    force: bool = False,
    copy: bool = False,
    count: int = 1,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> int:
    """Write the frames of an altitude range, and ``metadata_filtered.json``.

    The same call resumes a run that was stopped: files in place are left alone.

    Args:
        root: input folder; see :func:`~.candidates.list_candidates`.
        out: folder to write.
        wanted: what to keep.
        summary: receives what was kept and dropped.
        force: replace an earlier output.
        copy: copy files instead of linking them.
        count: processes on this machine.
        cluster: address of a Dask scheduler, whose workers do it instead.
        progress: called with files done and files in all.

    Returns:
        How many frames were kept.

    Raises:
        ConfigError: ``out`` is in the way.
        DataError: ``root`` can't be read, or nothing is left.
    """
    refuse_to_overwrite(out, force=force)
    kept = choose(list_candidates(root, summary), wanted, summary)
    if not kept:
        raise DataError(f"{root}: nothing usable is left ({summary.worst()})")
    with new_folder(out, force=force, resume=True) as part:
        _begin_again_unless_same(part, root, wanted)
        with open_workers(
            count, cluster, inputs=[root.absolute()], out=part, packages=["windhover_training"]
        ) as workers:
            if kept[0].frame is not None:
                options = WriteOptions(frozenset(), copy)
                _write_converted(root, part, kept, summary, options, progress, workers)
            else:
                kept = place_files(
                    root, part, kept, summary, copy=copy, workers=workers, progress=progress
                )
        if not kept:
            raise DataError(f"{root}: nothing usable is left ({summary.worst()})")
        document = {
            "frames": [candidate.described() for candidate in kept],
            "altitude_range": [wanted.low, wanted.high],
            "count": len(kept),
            "summary": summary.as_dict(),
        }
        write_json(part / FILTERED, document)
        (part / _TASK).unlink(missing_ok=True)
    return len(kept)


def _begin_again_unless_same(part: Path, root: Path, wanted: AltitudeFilter) -> None:
    """Throw away what an interrupted run of another filter left."""
    task = {"input": str(root.resolve()), **asdict(wanted)}
    note = part / _TASK
    try:
        same = json.loads(note.read_text(encoding="utf-8")) == json.loads(json.dumps(task))
    except (OSError, ValueError):
        same = False
    if not same:
        clear_folder(part)
        write_json(note, task)


def _write_converted(
    root: Path,
    part: Path,
    kept: Sequence[Candidate],
    summary: Summary,
    options: WriteOptions,
    progress: Progress | None,
    workers: Workers,
) -> None:
    loaded = load_set(root.absolute())
    splits: dict[str, list[LabelledFrame]] = {split: [] for split in loaded.splits}
    for candidate in kept:
        assert candidate.frame is not None
        split, frame = candidate.frame
        splits[split].append(
            replace(frame, altitude=candidate.altitude, altitude_source=candidate.source)  # type: ignore[arg-type]
        )
    write_set(
        part, splits, loaded.labels, summary, options, progress, workers, filtered_from=str(root)
    )


def place_files(
    root: Path,
    out: Path,
    kept: Sequence[Candidate],
    summary: Summary,
    *,
    copy: bool = False,
    workers: Workers = HERE,
    progress: Progress | None = None,
) -> list[Candidate]:
    """Link or copy the kept frames' files; those that are there already are left alone.

    Args:
        root: input folder.
        out: output folder, which may hold what an interrupted run did.
        kept: as :func:`choose` gives them.
        summary: receives frames of which a file is missing.
        copy: copy instead of linking.
        workers: that link or copy.
        progress: called with frames done and frames in all.

    Returns:
        The frames of which every file is in place.

    Raises:
        DataError: a file can't be written.
    """
    # Frames may share one annotation file: it is placed once, before any worker needs it.
    names = list(dict.fromkeys(name for candidate in kept for name in candidate.files))
    for folder in {(out / name).parent for name in names}:
        folder.mkdir(parents=True, exist_ok=True)
    placed: set[str] = set()
    place = partial(_place, root.absolute(), out, copy)
    done = workers.map(place, names, chunk=_CHUNK, progress=progress)
    for name, there in zip(names, done, strict=True):
        if there:
            placed.add(name)
    whole = []
    for candidate in kept:
        missing = [name for name in candidate.files if name not in placed]
        if missing:
            summary.add("dropped", "frame: a file of it is missing", missing[0])
        else:
            whole.append(candidate)
    return whole


def _place(root: Path, out: Path, copy: bool, name: str) -> bool:
    """Whether there is such a file; it then is in its place."""
    source, target = root / name, out / name
    if not source.is_file():
        return False
    if not (target.is_file() and target.stat().st_size == source.stat().st_size):
        link_or_copy(source, target, copy=copy)
    return True
