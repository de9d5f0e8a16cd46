"""The base of every error that a user can cause and mend."""


class SegdistillError(Exception):
    """Says what is wrong, where, and what to do; a stage prints it as one message, without a traceback."""
