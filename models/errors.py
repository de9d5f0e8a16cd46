"""Errors of networks that the user's settings or files cause."""


class ModelError(Exception):
    """Raised if a network cannot be built, or if weights cannot be loaded into it."""
