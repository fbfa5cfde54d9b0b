"""The base of what an operator has to know: a command, or the start of a process, cannot go on."""


class OperatorError(Exception):
    """Its message is meant for the operator, and says why and what to do."""
