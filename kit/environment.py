"""What shared constructs need to know about the environment for which they create resources."""

from typing import Protocol

from kit.naming import Names


class TargetEnvironment(Protocol):
    """An account and region with naming and log retention: of the payment API, or of the pipeline itself."""

    @property
    def names(self) -> Names:
        """Physical names of its resources."""

    @property
    def account(self) -> str:
        """AWS account id, 12 digits."""

    @property
    def region(self) -> str:
        """AWS region."""

    @property
    def log_retention_days(self) -> int:
        """Retention of log groups in days."""
