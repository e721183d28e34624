"""Built-in optimizers, a family a file."""
