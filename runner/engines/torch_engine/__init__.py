"""The production engine, on PyTorch: it trains the fits of a group together, as one module."""
