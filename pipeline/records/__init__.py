"""What each stage measures: declared, written and read in one place."""
