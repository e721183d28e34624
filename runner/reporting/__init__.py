"""Reports: the journal's frames and the plan in; statistics, tables, figures, sentences and pages out.

It knows no catalog, engine or worker.
"""
