"""Offline training workspace of Windhover (AGPL-3.0, because it builds on Ultralytics)."""

import os

__version__ = "0.2.0"

# Before either library is loaded. ONNX Runtime would send usage data to Microsoft.
# Ultralytics would look for a network, report runs and install packages by itself.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
