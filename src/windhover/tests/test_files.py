"""Result files: strict JSON, written completely or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from windhover.errors import DataError
from windhover.files import to_json_value, write_atomic, write_json


def test_json_holds_no_nan_and_no_numpy(tmp_path: Path) -> None:
    value = {
        "a": np.float32(0.5),
        "b": float("nan"),
        "c": np.array([1.0, np.inf]),
        "d": (np.int64(3), True, None, "x"),
        7: 1 / 3,
    }
    path = tmp_path / "new" / "m.json"
    write_json(path, value)
    assert json.loads(path.read_text()) == {
        "a": 0.5,
        "b": None,
        "c": [1.0, None],
        "d": [3, True, None, "x"],
        "7": 0.333333,
    }
    assert to_json_value(1 / 3, digits=2) == 0.33


def test_a_failed_write_leaves_the_old_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.json"
    write_atomic(path, "old")

    def full_disk(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(DataError, match=r"m\.json.*No space left"):
        write_atomic(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]
    assert path.read_text() == "old"
