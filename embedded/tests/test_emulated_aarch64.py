"""The QNN binding under emulation of 64-bit ARM reads what it reads here."""

import copy
import os
import platform
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime_qnn", reason="onnxruntime-qnn is not installed")

from embedded import emulated_aarch64
from embedded.emulated_aarch64 import Emulator, compare, describe, main
from embedded.host import SetupError

MODELS = Path(__file__).resolve().parents[2] / "models"
ROOT = os.environ.get("WINDHOVER_ARM64")


@pytest.fixture(scope="module")
def here():
    return describe()


def test_every_model_is_read_without_a_device(here):
    dlcs = {str(p.relative_to(MODELS)) for p in MODELS.rglob("int8.dlc")}
    assert len(dlcs) >= 3
    assert here["graphs"].keys() == dlcs
    assert here["libraries"]["core"][:2] == [2, 40]
    assert here["libraries"]["system"][:2] == [1, 15]
    for name, composed in here["graphs"].items():
        context = here["contexts"][name.replace("int8.dlc", "qcs8550.bin")]
        assert context["soc_model"] == 66
        assert context["graph"] == composed["graph"]
        assert context["inputs"] == composed["inputs"]
        assert sorted(context["outputs"]) == sorted(composed["outputs"])


def test_layouts_have_every_field(here):
    tensor = here["layouts"]["Tensor"]
    assert tensor["size"] == 144
    assert tensor["fields"]["data"] == [104, 8]
    assert here["layouts"]["Interface"]["size"] == 640


def test_equal_facts_do_not_differ_whatever_the_processor(here):
    there = {**copy.deepcopy(here), "machine": "aarch64", "python": "3.13.5", "htp": "none"}
    assert compare(here, there) == []


def test_each_difference_is_named_with_both_values(here):
    there = copy.deepcopy(here)
    there["layouts"]["Tensor"]["size"] = 136
    there["graphs"]["thermal-n/int8.dlc"]["graph"] = "another"
    del there["contexts"]["coco-n/qcs8550.bin"]
    found = compare(here, there)
    assert len(found) == 3
    assert found[0].startswith("/contexts/coco-n/qcs8550.bin: {")
    assert found[0].endswith("None under emulation")
    assert found[1].startswith("/graphs/thermal-n/int8.dlc/graph: ")
    assert found[2] == "/layouts/Tensor/size: 144 here, 136 under emulation"


def test_what_is_missing_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(emulated_aarch64.shutil, "which", lambda name: None)
    assert main([str(tmp_path)]) == 2
    assert "apt-get install qemu-user-static" in capsys.readouterr().err
    monkeypatch.setattr(emulated_aarch64.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert main([str(tmp_path)]) == 2
    assert "has no Python of 64-bit ARM" in capsys.readouterr().err
    python = tmp_path / "usr" / "bin" / "python3.12"
    python.parent.mkdir(parents=True)
    python.touch()
    with pytest.raises(SetupError, match="lacks onnxruntime_qnn"):
        Emulator.find(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(ROOT is None, reason="WINDHOVER_ARM64 names no root of 64-bit ARM")
def test_under_emulation_nothing_differs(here):
    there = Emulator.find(Path(ROOT)).describe()
    assert there["machine"] == "aarch64" != platform.machine()
    assert compare(here, there) == []
    assert "can't be opened" in there["htp"]
