"""Split by flight: a whole flight is on one side, never single frames.

A flight is a run of consecutive frame numbers at one time of day and one altitude. Frame
numbers that are far apart, or a change of altitude or time of day, start a new one; the
camera angle sweeps 30 to 90 degrees inside one flight, over the same people and cars, so
a change of angle does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .hit_uav import Record

MAX_GAP = 120  # the flights at 100 m and above are thinned to every 12th frame or fewer


def flights_of(records: Sequence[Record], max_gap: int = MAX_GAP) -> dict[str, list[Record]]:
    """Group records (in order of frame number) into flights.

    Args:
        records: sorted by frame number.
        max_gap: frame numbers further apart than this start a new flight.

    Returns:
        Flight name ``<day|night>-<altitude>m-<first frame>`` -> its records.
    """
    flights: dict[str, list[Record]] = {}
    previous: Record | None = None
    current: list[Record] = []
    for record in records:
        same = (
            previous is not None
            and record.day == previous.day
            and record.altitude == previous.altitude
            and record.frame - previous.frame <= max_gap
        )
        if not same:
            current = []
            light = "day" if record.day else "night"
            flights[f"{light}-{record.altitude}m-{record.frame:05d}"] = current
        current.append(record)
        previous = record
    return flights


def assign(
    flights: Mapping[str, Sequence[Record]], held_out: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Give every flight to one split.

    Args:
        flights: flight name -> records.
        held_out: split name -> names of its flights. All others go to ``train``.

    Returns:
        Split name -> flight names.

    Raises:
        ValueError: a flight is unknown or named for two splits.
    """
    owner: dict[str, str] = {}
    for split, names in held_out.items():
        for name in names:
            if name not in flights:
                raise ValueError(f"split {split}: no flight {name!r}; `data flights` lists them")
            if name in owner:
                raise ValueError(f"flight {name!r} is in {owner[name]} and in {split}")
            owner[name] = split
    splits: dict[str, list[str]] = {"train": [], **{split: [] for split in held_out}}
    for name in flights:
        splits[owner.get(name, "train")].append(name)
    return splits
