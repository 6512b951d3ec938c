"""The health of a running chain: latency, levels with hysteresis, the machine, recovery."""
