"""What ends the bench with a message."""


class BenchError(Exception):
    """Something could not be measured; the message says what, and what to do."""
