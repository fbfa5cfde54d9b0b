"""Errors of what runs on this machine; every message says what failed and what to do."""


class RehearsalError(Exception):
    """The base of these errors."""


class ImageError(RehearsalError):
    """An image cannot be built or found."""


class TaskDefinitionError(RehearsalError):
    """A task definition is invalid, unsupported, or refers to something that does not exist."""


class TaskFailedError(RehearsalError):
    """A container of a task did not start, exited or became unhealthy; the message has the end of its log."""


class DeploymentError(RehearsalError):
    """A deployment did not reach a steady state; the tasks of the previous one still serve."""


class PortInUseError(RehearsalError):
    """A requested port is in use."""


class DatabaseError(RehearsalError):
    """A database server could not be created or started; the message has the end of its log."""


class ContainerEngineError(RehearsalError):
    """The requested container engine does not respond."""


class NotConnectedError(RehearsalError):
    """The container runtime is not connected to an account yet."""
