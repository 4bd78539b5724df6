"""Prompts: what is painted for the figures, and what each picture should show."""
