"""The assets: the nouns of the story from a page on the web to a released model, as Dagster sees them."""
