"""Trainings: a recipe as a child process that ends with its parent, followed through Dagster Pipes."""
