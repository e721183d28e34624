"""Numbers, sentences and tables as text for a reader, in HTML, Markdown, LaTeX or a terminal."""
