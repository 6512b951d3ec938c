"""Reaching a device over adb or ssh, and reading what was measured there."""
