"""Graphs in Paddle's new format (PIR): programs and their parameters, read and written here."""
