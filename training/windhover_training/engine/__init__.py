"""What every phase shares: the model, the optimiser, the loop, the run folder."""
