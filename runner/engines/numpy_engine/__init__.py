"""The reference engine: every layer in NumPy with its derivation, one fit at a time."""
