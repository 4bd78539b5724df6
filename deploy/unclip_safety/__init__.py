"""Safety: what may be asked and what may leave, from one policy; both checks fail closed."""
