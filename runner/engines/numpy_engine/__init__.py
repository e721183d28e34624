"""The reference engine: the lectures made exact, in NumPy alone. Slower than torch, and readable."""
