"""Labels: what people say about pictures, which pictures to ask about next, and the probes that learn from it."""
