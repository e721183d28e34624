"""The YAML file: text in; a validated Experiment, and its grid expanded into cells, out. Errors carry line numbers."""
