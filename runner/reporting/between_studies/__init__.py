"""Experiments side by side: two or more reports in; what they share and how far their results agree out."""
