"""The command line: drumbeat."""
