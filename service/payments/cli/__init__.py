"""The command line: `python -m payments COMMAND`."""
