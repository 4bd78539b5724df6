"""Image-text pairs at rest: their schema, pictures, shards, manifests and the store they lie in."""
