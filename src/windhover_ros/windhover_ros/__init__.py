"""Wiring that every Windhover node shares: QoS, parameters, image and result messages, diagnostics, lifecycle."""
