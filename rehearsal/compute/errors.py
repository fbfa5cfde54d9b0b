"""What can go wrong while containers run; every message says what, where and what to do."""


class ComputeError(Exception):
    """The base of all errors of the compute runtime."""


class ImageError(ComputeError):
    """An image cannot be built or found."""


class TaskDefinitionError(ComputeError):
    """A task definition asks for something that cannot be done, or refers to something that does not exist."""


class TaskFailedError(ComputeError):
    """A task's container did not start, exited or became unhealthy; the message holds the end of its log."""


class TaskStuckError(TaskFailedError):
    """A task that AWS would leave PENDING for hours, which no circuit breaker counts; the message says what to do."""


class DeploymentError(ComputeError):
    """A deployment did not reach a steady state; the old tasks still serve."""


class PortInUseError(ComputeError):
    """A port that the user asked for is taken."""


class DatabaseError(ComputeError):
    """A database server could not be made or started; the message holds the end of its log."""


class EngineError(ComputeError):
    """The container engine that the user asked for does not answer."""


class NotConnectedError(ComputeError):
    """The runtime has not been told yet where the emulator is."""
