"""Checks before training of what later stages require; docs/reference/preflight.md lists them."""
