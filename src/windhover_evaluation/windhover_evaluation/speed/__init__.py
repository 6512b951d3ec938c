"""How fast a model runs: measured on this machine, estimated for a QCS8550."""
