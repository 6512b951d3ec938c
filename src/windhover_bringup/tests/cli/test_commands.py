"""The command line as a whole: names, versions, help."""

import importlib.metadata
import json
import re
import subprocess
import sys

import pytest

from windhover_bringup.cli import WIDTH, app, main
from windhover_bringup.cli.deprecated import replace_deprecated


def test_the_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    version = importlib.metadata.version("windhover_bringup")
    assert capsys.readouterr().out == f"windhover {version}\n"


def test_help_in_a_pipe_is_not_cut(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = lines[lines.index("Commands:") + 1 :]
    assert not [line for line in commands if line.endswith("...")]
    assert 80 < max(map(len, commands)) <= WIDTH
    listed = {line.split()[0] for line in commands}
    single = {command.name for command in app.registered_commands}
    assert listed == single | {group.name for group in app.registered_groups}


def test_help_imports_nothing_heavy():
    """Start-up is a fraction of a second because commands import what they need themselves."""
    code = (
        "import json, sys; from windhover_bringup.cli import main; main(['--help']); "
        "sys.stderr.write(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr)}
    assert "typer" in loaded
    assert not loaded & {"numpy", "cv2", "pydantic", "rclpy", "onnxruntime", "rich", "mcap"}


@pytest.mark.parametrize(
    ("former", "now"),
    [
        (["recover", "x"], ["bag", "recover", "x"]),
        (["ready", "detector", "--timeout", "2"], ["wait-active", "detector", "--timeout", "2"]),
        (
            ["bench", "--model", "m", "--frames", "3"],
            ["benchmark", "--model", "m", "--frames", "3"],
        ),
        (["bench", "--model=m"], ["benchmark", "--model=m"]),
    ],
)
def test_former_names_are_taken_for_one_version(former, now, capsys):
    assert replace_deprecated(former) == now
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert re.fullmatch(r"warning: 'windhover \S+' is now 'windhover [a-z -]+'; .*\n", warning)


def test_names_of_now_are_left_alone(capsys):
    for args in (["bag", "recover", "x"], ["up", "--out", "bench"], [], ["--help"]):
        assert replace_deprecated(args) == args
    assert capsys.readouterr().err == ""


def test_the_repositorys_own_benchmark_is_no_command_of_a_user(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--only", "decode"]) == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert "is now 'python -m bench.run, in a checkout'" in warning
    assert error == "error: no bench/run.py; run this in a checkout of Windhover"
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "run.py").write_text(
        "import sys\nopen('given', 'w').write(' '.join(sys.argv[1:]))\nsys.exit(7)\n"
    )
    assert main(["bench", "--only", "decode"]) == 7
    assert (tmp_path / "given").read_text() == "--only decode"


def test_the_registration_study_moved(tmp_path, monkeypatch, capsys):
    from windhover_evaluation.registration import __main__ as study

    rows = []
    monkeypatch.setattr(
        study, "measure_residuals", lambda pairs, altitude, _: rows.append((pairs, altitude)) or []
    )
    monkeypatch.setattr(study, "residual_table", lambda _: "the table\n")
    monkeypatch.setattr(study, "altitude_figure", lambda _: None)
    monkeypatch.setattr(study, "save", lambda *_: None)
    assert main(["calibrate", "residual", "--out", str(tmp_path), "--pairs", "2"]) == 0
    printed = capsys.readouterr()
    assert "is now 'python -m windhover_evaluation.registration'" in printed.err
    assert rows == [(2, 40.0)]
    assert (tmp_path / "residual.md").read_text() == "the table\n"
    with pytest.raises(SystemExit) as refused:
        study.main(["--out", str(tmp_path), "--pairs", "0"])
    assert refused.value.code == 2
