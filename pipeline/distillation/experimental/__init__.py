"""Surrogates: methods whose authors published no code, or did something else; what is here is our own derivation."""
