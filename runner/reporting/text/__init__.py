"""Numbers, sentences and tables as a reader sees them, in HTML, Markdown, LaTeX or a terminal."""
