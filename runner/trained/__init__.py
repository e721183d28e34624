"""Saved networks: a study's plan, journal and files of parameters in; networks that answer for images out."""
