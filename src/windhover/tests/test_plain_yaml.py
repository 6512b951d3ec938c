"""YAML from outside stays within bounds, and a refusal has its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from windhover.calibration import load_calibration
from windhover.errors import CalibrationError
from windhover.plain_yaml import MAX_BYTES, YamlError, dump_yaml, parse_yaml, read_yaml

BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n".encode()
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOMB, "alias *a is not taken: write it out in line 2"),
        (b"base: &b {x: 1}\nmine: {<<: *b}\n", "alias *b is not taken"),
        (b"a: &a [*a]\n", "alias *a is not taken"),
        (b"[" * 100_000, "nested too deep"),
        (b"a: 1\na: 2\n", "'a' appears twice in line 2"),
        (b"a: 2001-13-45\n", "month must be in 1..12"),
        (b"a: " + b"9" * 5000 + b"\n", "integer string conversion"),
        (b"a: \xff\n", "invalid"),
        (b"a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        (b"a: [\n", "in line 2"),
        (b"#" * (MAX_BYTES + 1), "longer than 1048576 bytes"),
    ],
)
def test_a_refusal_has_one_line(text: bytes, expected: str) -> None:
    with pytest.raises(YamlError) as caught:
        parse_yaml(text)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_more_of_a_huge_file_is_read_than_the_bound(tmp_path: Path) -> None:
    with (tmp_path / "huge.yaml").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(YamlError, match="longer than"):
        read_yaml(tmp_path / "huge.yaml")


def test_an_endless_device_is_not_read() -> None:
    with pytest.raises(YamlError, match="longer than"):
        read_yaml("/dev/zero")


def test_a_shared_value_is_written_without_an_alias() -> None:
    shared = [1, 2.5, "three", None, True]
    document = {"b": shared, "a": {"again": shared}}
    assert parse_yaml(dump_yaml(document).encode()) == document
    assert list(parse_yaml(dump_yaml(document).encode())) == ["b", "a"]


def test_a_calibration_is_read_within_the_same_bounds(tmp_path: Path) -> None:
    (tmp_path / "camera.yaml").write_bytes(BOMB)
    with pytest.raises(CalibrationError, match=r"camera\.yaml is not YAML: alias \*a"):
        load_calibration(tmp_path / "camera.yaml")
