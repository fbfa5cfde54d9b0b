"""The rehearsed app as `rehearsal.toml` in the root of its repository describes it."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from rehearsal.account.sessions import ACCOUNT_ID, REGION

FILE_NAME = "rehearsal.toml"
_CONNECTION_ARN = f"arn:aws:codeconnections:{REGION}:{ACCOUNT_ID}:connection/00000000-0000-4000-8000-000000000000"


class ProjectError(Exception):
    """`rehearsal.toml` is missing or invalid."""


class Project(BaseModel):
    """What the rehearsal needs to know about an app, apart from its cloud assembly."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: The stacks that a person deploys: that of the pipeline, and others of the app's top level.
    stacks: tuple[str, ...]
    #: The command that destroys everything; run in a clone of the repository.
    destroy: tuple[str, ...]
    #: Values for `cdk --context`; `$certificate_arn` and `$connection_arn` are replaced.
    context: Mapping[str, str] = {}
    #: A glob of policy documents for the bootstrap's CloudFormation execution role; without it the role is an
    #: administrator.
    execution_policies: str = ""
    #: A command whose output is shown once the pipeline has succeeded: how to try what was deployed. `STACK_OUTPUTS`
    #: (JSON) has the outputs of the last environment's stack, `CA_FILE` the root to trust.
    example: tuple[str, ...] = ()

    @classmethod
    def read(cls, repository: Path) -> Self:
        """Read the file of a repository.

        Raises:
            ProjectError: It is missing or invalid.

        """
        file = repository / FILE_NAME
        try:
            return cls.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ProjectError(f"{file} is missing; rehearsal/README.md describes it") from None
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise ProjectError(f"{file} is invalid: {error}") from error

    def context_arguments(self, *, certificate_arn: str) -> list[str]:
        """Return the arguments of `cdk` for the context."""
        values = {"certificate_arn": certificate_arn, "connection_arn": _CONNECTION_ARN}
        return [
            word
            for name, value in self.context.items()
            for word in ("--context", f"{name}={Template(value).substitute(values)}")
        ]
