"""Running the stages: config, launch plan, composed process, process per node."""
