"""The reference engine: layers in NumPy with their derivations, one fit at a time."""
