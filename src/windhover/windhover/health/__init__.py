"""How well a running chain does: levels with hysteresis, the machine's vitals, recovery."""
