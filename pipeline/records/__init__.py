"""What each stage measures: one file for each record, declared, written and read in one place."""
