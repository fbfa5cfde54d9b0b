"""Physical names, `{resource-type}-{environment-suffix}`, and the tags by which an installation is found.

Names are fixed rather than generated, so that people, alarms and policies can refer to a resource before it exists. The
price: CloudFormation cannot replace a resource under the same name, so a property whose change forces a replacement
belongs in the name (see `Names.name`).
"""

import re
from dataclasses import dataclass

from aws_cdk import Tags
from constructs import IConstruct

MAX_SUFFIX_LENGTH = 12
PROJECT = "payment-pipeline"
_SUFFIX = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Names:
    """Physical names that end in one suffix."""

    #: Environment suffix, such as `dev` or `dev-alice`.
    suffix: str
    #: AWS account id, part of globally unique names.
    account: str
    #: AWS region, part of globally unique names.
    region: str

    def __post_init__(self) -> None:
        """Validate the suffix.

        Raises:
            ValueError: The suffix is too long or malformed for some AWS service.
        """
        if not _SUFFIX.fullmatch(self.suffix) or len(self.suffix) > MAX_SUFFIX_LENGTH:
            raise ValueError(
                f"environment suffix {self.suffix!r} is invalid: use at most {MAX_SUFFIX_LENGTH} characters, "
                "lower-case letters, digits and single hyphens, starting with a letter. It ends every physical name, "
                "and some names are limited to 32 characters."
            )

    def name(self, resource_type: str) -> str:
        """Return a name that is unique in its account and region: `vpc` becomes `vpc-dev`.

        A property whose change makes CloudFormation replace the resource belongs in `resource_type`.
        """
        return f"{resource_type}-{self.suffix}"

    def globally_unique(self, resource_type: str) -> str:
        """Return a name that is unique across all accounts and regions, as buckets require."""
        return f"{resource_type}-{self.suffix}-{self.account}-{self.region}"

    def function(self, purpose: str) -> str:
        """Return the name of a Lambda function."""
        return self.name(f"function-{purpose}")

    def function_logs(self, purpose: str) -> str:
        """Return the name of that function's log group, which Lambda would choose as well."""
        return f"/aws/lambda/{self.function(purpose)}"


def tag_all(scope: IConstruct, names: Names) -> None:
    """Tag every resource below `scope`, for cost allocation and for `make destroy`."""
    Tags.of(scope).add("environment-suffix", names.suffix)
    Tags.of(scope).add("project", PROJECT)
