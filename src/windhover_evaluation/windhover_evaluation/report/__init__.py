"""metrics.json, comparison with a baseline, plots and the report page."""
