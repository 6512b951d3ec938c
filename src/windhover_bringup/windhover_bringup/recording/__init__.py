"""Writing recordings and result files, and recovering interrupted ones."""
