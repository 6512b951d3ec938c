"""From a checkpoint to the graphs and the manifest of a model bundle."""
