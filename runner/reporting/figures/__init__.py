"""The figures of a report: its tables in; SVG, and PNG on request, out."""
