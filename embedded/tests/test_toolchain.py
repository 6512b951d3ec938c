"""The compilers that set-up finds, and what it says where there are none."""

import shutil
from pathlib import Path

import pytest

from embedded.host import SetupError
from embedded.toolchain import find_toolchain


@pytest.fixture(autouse=True)
def _no_choice_of_compiler(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ here")
def test_what_the_machine_has_is_used(tmp_path):
    tools = find_toolchain(tmp_path)
    assert (tools.c, tools.cxx) == (("gcc",), ("g++",))
    assert (tools.includes[0] / "Python.h").is_file()
    assert b"Free Software Foundation" in tools.identity


def test_the_environment_chooses_the_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "gcc -m64")
    assert find_toolchain(tmp_path).c == ("gcc", "-m64")


def test_no_c_compiler_is_an_error_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"compiler gcc is missing.*apt-get install gcc"):
        find_toolchain(tmp_path / "cache")


def test_no_cxx_compiler_and_no_way_to_get_one_is_an_error_with_the_remedy(tmp_path, monkeypatch):
    gcc = shutil.which("gcc")
    assert gcc is not None
    (tmp_path / "gcc").symlink_to(Path(gcc))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"g\+\+-\d+.*can't be fetched.*apt-get install g\+\+"):
        find_toolchain(tmp_path / "cache")
