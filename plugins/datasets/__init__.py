"""Built-in data sets, one family per file."""
