"""Built-in augmentations, a family a file."""
