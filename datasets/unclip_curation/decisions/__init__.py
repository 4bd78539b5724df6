"""Decisions: verdicts by DuckDB over the scores, their explanation, differences, checks and reweighting."""
