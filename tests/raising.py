"""Expect an error by its type and by the values that it names, whatever its sentences are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def raises(kind: type[BaseException], *named: object) -> Iterator[pytest.ExceptionInfo[Any]]:
    """Fail unless exactly this type is raised, and its message has each of the values.

    A value is what a reader acts on: a file, a parameter, a sample, a number, a command. A phrase is refused.
    """
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.type is kind, f"{caught.type.__name__} instead of {kind.__name__}: {caught.value}"
    _names(str(caught.value), named)


@contextmanager
def warns(kind: type[Warning], *named: object) -> Iterator[None]:
    """Fail unless one warning of this type has each of the values."""
    with pytest.warns(kind) as caught:
        yield
    _names("\n".join(str(warning.message) for warning in caught if issubclass(warning.category, kind)), named)


def _names(message: str, named: tuple[object, ...]) -> None:
    for value in map(str, named):
        assert len(value.split()) <= 2, f"{value!r} is a phrase: name values, so that messages can be reworded"
        assert value in message, f"{value!r} is not in: {message}"
