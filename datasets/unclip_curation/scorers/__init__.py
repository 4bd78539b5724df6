"""Scorers: columns measured from pictures and captions."""
