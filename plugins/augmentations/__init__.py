"""Built-in augmentations, one family per file."""
