"""Scenes: everyday things in many variations, drawn from the same designs, with captions, prompts and held-out combinations."""
