"""Surrogates: our own derivations of methods whose authors published no code, or solve another task."""
