"""``windhover benchmark``: what it prints of a model, and which options go together."""

import json

import pytest

from windhover_bringup.cli import main
from windhover_sim.blob_bundle import build_blob_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_blob_bundle(tmp_path_factory.mktemp("m") / "blobs", height=64, width=96).root


def test_a_model_on_the_processor(model, tmp_path, capfd):
    out = tmp_path / "bench.json"
    given = ["--model", str(model), "--backend", "cpu", "--frames", "3", "--json", str(out)]
    assert main(["benchmark", *given]) == 0
    written = json.loads(out.read_text())
    (row,) = written["backends"]
    assert (row["backend"], row["frames"]) == ("cpu", 3)
    assert written["run"]["processor"] in (printed := capfd.readouterr().out)
    assert f"{row['latency']['p50_ms']:.2f}" in printed
    assert "emulator" not in printed


def test_all_names_those_that_can_not_run(model, capfd):
    assert main(["benchmark", "--model", str(model), "--frames", "1"]) == 0
    printed = capfd.readouterr().out
    assert "dlc: bundle blobs has no int8_dlc" in printed or "dlc: the QNN libraries" in printed


def test_an_estimate_says_so(model, tmp_path, capfd):
    out = tmp_path / "estimate.json"
    assert main(["benchmark", "--model", str(model), "--estimate", "--json", str(out)]) == 0
    assert "ESTIMATE, not measured" in capfd.readouterr().out
    assert "nothing was measured" in json.loads(out.read_text())["estimate"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--backend", "cpu"], "Missing option '--model'"),
        (["--model", "M", "--estimate", "--frames", "3"], "leave --backend and --frames out"),
        (["--model", "M", "--backend", "gpu"], "no backend gpu"),
        (["--model", "M", "--frames", "0"], "use 1 to 100000"),
        (["--model", "M", "--backend", "dlc"], "backend dlc was not measured"),
        (["--model", "/nowhere"], "/nowhere"),
    ],
)
def test_options_that_do_not_go_together(model, capfd, options, complaint):
    given = [str(model) if each == "M" else each for each in options]
    assert main(["benchmark", *given]) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert complaint in lines[0]
