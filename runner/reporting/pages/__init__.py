"""Writes the report's files: tables, figures and sentences in; report.html, report.md and their folders out."""
