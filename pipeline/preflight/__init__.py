"""What later stages ask for and what is known before anything is trained: docs/reference/preflight.md has the list."""
