"""The orchestration: Dagster's definitions, the command line, and the demo that plays the whole story."""
