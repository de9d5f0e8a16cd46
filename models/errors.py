"""What can be wrong with a network, apart from our own mistakes."""


class ModelError(Exception):
    """A network that cannot be built or filled as asked."""
