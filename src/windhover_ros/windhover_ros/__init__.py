"""Wiring that every Windhover node shares: QoS, parameters, messages, health, lifecycle."""
