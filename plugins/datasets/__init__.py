"""Built-in datasets, a family a file."""
