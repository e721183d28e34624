"""The report's tables as pandas frames: fits, cells, curves, confusions, layers."""
