"""The records of all stages: each kind of measurement is declared, written and read in one module."""
