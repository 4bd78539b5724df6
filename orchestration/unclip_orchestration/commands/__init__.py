"""The commands of `unclip`, one module a group."""
