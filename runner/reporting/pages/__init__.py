"""The report's files: tables, figures and sentences in; report.html, report.md and the folders beside them out."""
