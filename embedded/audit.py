"""``make audit``: known vulnerabilities of what constraints.txt pins, by pip-audit.

pip-audit gets its own virtual environment. Without a network, or where the advisory service
can't be reached, it says so and passes: an audit that can't be made is no finding.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".cache" / "audit"
TIMEOUT_S = 300
UNREACHABLE = (
    "ConnectionError", "ServiceError", "Max retries", "NameResolution", "Temporary failure",
    "timed out", "HTTPError", "ConnectTimeout", "ProxyError", "SSLError", "503", "403", "404",
)  # fmt: skip


def audit() -> int:
    """Look up every pinned package.

    Returns:
        0 if no vulnerability is known or the service can't be reached, else 1.
    """
    python = VENV / "bin" / "python"
    pip_audit = VENV / "bin" / "pip-audit"
    try:
        if not pip_audit.exists():
            venv.EnvBuilder(symlinks=True, with_pip=True).create(VENV)
            subprocess.run(
                [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "pip-audit"],
                check=True, capture_output=True, text=True, timeout=TIMEOUT_S,
            )  # fmt: skip
        done = subprocess.run(
            [pip_audit, "-r", ROOT / "constraints.txt", "--no-deps", "--disable-pip",
             "--progress-spinner", "off"],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            env={**os.environ, "XDG_CACHE_HOME": str(ROOT / ".cache")},
        )  # fmt: skip
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        print(f"audit: not made: pip-audit can't be installed or run here ({type(error).__name__})")
        return 0
    output = done.stdout + done.stderr
    if done.returncode == 0:
        print("audit: nothing is known against the pinned packages")
        return 0
    if "Found " not in output and any(word in output for word in UNREACHABLE):
        print("audit: not made: the advisory service can't be reached from here")
        return 0
    print(output.strip())
    return 1


if __name__ == "__main__":
    sys.exit(audit())
