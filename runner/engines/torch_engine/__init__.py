"""The production engine, on PyTorch: a group of fits in, trained together as one module."""
