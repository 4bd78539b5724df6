"""Checkers: exact questions to pictures of composed scenes, after GenEval (Ghosh et al., 2023)."""
