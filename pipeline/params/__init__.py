"""params.yaml as frozen dataclasses: `tree` reads the file, one module for each section declares it with defaults."""
