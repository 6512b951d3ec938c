"""``python3 -m embedded``: set up ``.venv``, or return at once where that is done."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import venv
from collections import deque
from pathlib import Path

from embedded.debian import unpack
from embedded.host import SetupError, check_host
from embedded.layout import ros_packages
from embedded.progress import bar

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / ".windhover-setup"
CONSTRAINTS = ROOT / "constraints.txt"


def fingerprint() -> str:
    """Hash of everything that determines the result of set-up."""
    digest = hashlib.sha256(f"{sys.version} {ROOT} {distribution_has_ros()}".encode())
    inputs = [CONSTRAINTS, ROOT / "requirements-dev.txt", ROOT / "embedded" / "requirements.txt"]
    inputs += sorted(ROOT.glob("embedded/*.py")) + sorted(ROOT.glob("embedded/*_msgs/**/*.*"))
    for folder in ros_packages(ROOT).values():
        inputs += [folder / name for name in ("setup.py", "setup.cfg", "package.xml")]
    digest.update(" ".join(sorted(file.name for file in ROOT.glob("launch/*.launch.py"))).encode())
    for path in inputs:
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def distribution_has_ros() -> bool:
    """Whether a ROS distribution is sourced, so that its packages are used, not wheels."""
    return "ROS_DISTRO" in os.environ and importlib.util.find_spec("rclpy") is not None


def make_venv() -> None:
    """Create ``.venv``, or create it again if its Python is not this one."""
    python = VENV / "bin" / "python"
    code = "import sys; print(sys.version)"
    if python.exists():
        asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if asked.stdout.strip() == sys.version.strip():
            return
    print(f"  making .venv with Python {sys.version.split()[0]}", flush=True)
    # Debian keeps ensurepip in python3-venv, but pip itself is one wheel that runs as it is.
    ensurepip = importlib.util.find_spec("ensurepip")
    with_pip = ensurepip is not None and ensurepip.origin is not None
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=with_pip).create(VENV)
    if not with_pip:
        unpacked = ROOT / ".cache" / "pip-wheel"
        unpack(["python3-pip-whl"], unpacked, "run 'apt-get install python3-venv'")
        wheel = next(unpacked.glob("usr/share/python-wheels/pip-*.whl"))
        run_pip("pip", [str(wheel / "pip")], ["pip"], 1)


def run_pip(label: str, pip: list[str], arguments: list[str], total: int) -> None:
    """Run ``pip install`` under a progress bar that counts the packages it collects.

    Args:
        label: what the bar says.
        pip: what Python runs as pip.
        arguments: what follows ``pip install``.
        total: how many packages will be collected, about.

    Raises:
        SetupError: pip failed; the message holds its last error line.
    """
    command = [str(VENV / "bin" / "python"), *pip, "install", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "-c", str(CONSTRAINTS), *arguments]
    # The machine's own pip cache is left alone.
    environ = {"PIP_CACHE_DIR": str(ROOT / ".cache" / "pip")} | os.environ
    # The wheels' mark is about another interpreter.
    environ.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    show = bar(label)
    last: deque[str] = deque(maxlen=20)
    collected = 0
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            last.append(line.rstrip())
            if (
                re.match(r"Collecting |Requirement already|Obtaining ", line)
                and collected < total - 1
            ):
                collected += 1
                show(collected, total)
    if process.returncode:
        errors = [line for line in last if line.startswith("ERROR")] or list(last)
        raise SetupError(f"pip failed ({label}): {errors[0] if errors else 'no message'}")
    show(total, total)


def install() -> None:
    """Install build tools, wheels and the packages of ``src/`` into ``.venv``."""
    pip = ["-m", "pip"]
    run_pip("build tools", pip, ["setuptools", "wheel"], 2)
    # An older pip would else run 'setup.py develop', which obeys setup.cfg as colcon wants
    # it and leaves bin/ empty.
    arguments = ["--use-pep517", "--no-build-isolation"]
    arguments += ["-r", str(ROOT / "requirements-dev.txt")]
    if not distribution_has_ros():
        arguments += ["-r", str(ROOT / "embedded" / "requirements.txt")]
    for folder in ros_packages(ROOT).values():
        arguments += ["-e", str(folder)]
    pins = [line for line in CONSTRAINTS.read_text().splitlines() if "==" in line]
    run_pip("packages", pip, arguments, len(pins))


def main() -> int:
    """Set up whatever is not set up yet.

    Returns:
        0, or 2 after one line that says what is wrong.
    """
    try:
        check_host()
        wanted = fingerprint()
        if STAMP.is_file() and STAMP.read_text() == wanted:
            return 0
        print("setting up .venv (a first time takes minutes; after that, nothing)", flush=True)
        make_venv()
        install()
        provide = [str(VENV / "bin" / "python"), "-m", "embedded.provide"]
        if subprocess.run(provide, cwd=ROOT, check=False).returncode:
            return 2
        STAMP.write_text(wanted)
    except (SetupError, OSError, subprocess.CalledProcessError) as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
