"""params.yaml as frozen dataclasses: `tree` reads the file; the other modules declare the sections with defaults."""
