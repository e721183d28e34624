"""Comparisons of experiments: two or more reports in; the cells and factors they share and how well they agree, out."""
