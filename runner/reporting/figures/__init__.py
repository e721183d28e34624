"""Draws the figures of a report from its tables, as SVG and on request as PNG."""
