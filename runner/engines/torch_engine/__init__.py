"""The production engine, on PyTorch."""
