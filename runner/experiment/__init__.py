"""The YAML file: text in; a checked Experiment, and its grid expanded to cells, out, every complaint with its line."""
