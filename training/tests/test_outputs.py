"""Outputs: complete or absent, and nobody's folder replaced by accident."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from windhover.errors import ConfigError, DataError
from windhover_training.outputs import new_folder, refuse_to_overwrite


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def break_off(folder: Path, name: str, **how: bool) -> None:
    with new_folder(folder, **how) as part:
        (part / name).write_text("new")
        raise KeyboardInterrupt


def test_a_folder_gets_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    with new_folder(tmp_path / "deep" / "set") as part:
        (part / "a").write_text("1")
        assert not (tmp_path / "deep/set").exists()
    assert (tmp_path / "deep/set/a").read_text() == "1"
    assert names(tmp_path / "deep") == {"set"}


def test_a_failure_leaves_nothing_behind_and_the_old_one_in_place(tmp_path: Path) -> None:
    with new_folder(tmp_path / "set") as part:
        (part / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path / "set", "a", force=True)
    assert (tmp_path / "set/a").read_text() == "old"
    assert names(tmp_path) == {"set"}


def test_only_force_replaces_and_then_wholly(tmp_path: Path) -> None:
    with new_folder(tmp_path / "set") as part:
        (part / "a").touch()
    with pytest.raises(ConfigError, match="--force"), new_folder(tmp_path / "set"):
        pass
    with new_folder(tmp_path / "set", force=True) as part:
        (part / "b").touch()
    assert "b" in names(tmp_path / "set")
    assert "a" not in names(tmp_path / "set")
    assert names(tmp_path) == {"set"}


def test_force_never_replaces_a_folder_that_was_not_made_here(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/dear.jpg").touch()
    with pytest.raises(ConfigError, match="not made by this command"):
        refuse_to_overwrite(tmp_path / "photos", force=True)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(ConfigError, match="not made by this command"):
        refuse_to_overwrite(tmp_path / "link", force=True)
    (tmp_path / "empty").mkdir()
    refuse_to_overwrite(tmp_path / "empty")
    refuse_to_overwrite(tmp_path / "none")


def test_a_resumable_folder_keeps_what_was_done(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path / "set", "first", resume=True)
    assert not (tmp_path / "set").exists()
    with new_folder(tmp_path / "set", resume=True) as part:
        assert (part / "first").exists()
        (part / "second").touch()
    assert {"first", "second"} <= names(tmp_path / "set")
    assert names(tmp_path) == {"set"}


def test_a_write_that_fails_is_an_error_for_people_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No space left.*free some space"):
        fill_the_disk(tmp_path / "set")
    assert not names(tmp_path)


def fill_the_disk(folder: Path) -> None:
    with new_folder(folder) as part:
        raise OSError(errno.ENOSPC, "No space left on device", str(part / "a"))
