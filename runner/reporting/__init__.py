"""Reporting: the journal's frame and the plan -> statistics, tables, figures, one page. It knows no engine."""
