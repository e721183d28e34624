"""The formats of a report, which a command checks before it loads what writes them."""

FORMATS = ("html", "md", "csv", "tex", "png")
DEFAULT_FORMATS = ("html", "md", "csv")
