"""Images to labels with the files of this bundle; nothing of the project that made it is imported here."""
