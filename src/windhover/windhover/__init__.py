"""Windhover: drone perception as a plain Python library (no ROS needed)."""

import os

__version__ = "0.2.0"

# ONNX Runtime's official builds send usage data to Microsoft, and keep an event file under
# the cache, unless this is set before the library is loaded (its Privacy.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
