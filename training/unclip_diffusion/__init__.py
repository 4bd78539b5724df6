"""Noise schedules, parameterisations, losses, samplers, guidance, degradations: plain functions over callables, without any network."""
