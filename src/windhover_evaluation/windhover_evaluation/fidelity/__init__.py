"""What quantising and compiling a model costs: float, INT8 and HTP side by side."""
