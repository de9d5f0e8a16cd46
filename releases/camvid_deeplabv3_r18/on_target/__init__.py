"""What a bundle takes to its target: nothing of the project is imported here."""
