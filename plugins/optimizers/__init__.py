"""Built-in optimizers, one family per file."""
