"""How well thermal is registered on RGB: residual studies and figures."""
