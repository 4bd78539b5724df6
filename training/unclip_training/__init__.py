"""Training: recipes, Lightning stages, data, tracking. The only room that knows Lightning."""
