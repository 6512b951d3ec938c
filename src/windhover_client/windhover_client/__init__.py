"""A client for mission nodes: typed tracks, freshness and health of a running Windhover.

It needs rclpy and the message packages and nothing else of the suite. It reads and reports;
it publishes nothing.
"""

from windhover_client.client import WindhoverClient
from windhover_client.health import Health, HealthLevel
from windhover_client.tracks import Box, Track, TracksUpdate

__all__ = ["Box", "Health", "HealthLevel", "Track", "TracksUpdate", "WindhoverClient"]
