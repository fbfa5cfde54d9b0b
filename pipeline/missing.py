"""Names every value that the configuration lacks at once: one failed synthesis says all that is to be set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any  # values of the CDK context are untyped JSON


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A value without which nothing can be deployed."""

    #: Key under `context` in `cdk.json`, and of `-c`.
    key: str
    #: What it is.
    meaning: str
    #: A value; what is in angle brackets depends on the installation.
    example: str
    #: Heading in `docs/deploy.md`, as an anchor.
    section: str

    def __str__(self) -> str:
        """Return its lines in the message."""
        return (
            f"\n  {self.key}: {self.meaning}\n      -c {self.key}={self.example}\n      docs/deploy.md#{self.section}"
        )


_ACCOUNT = Missing(
    key="account",
    meaning="that of your credentials, which the CDK CLI did not find: log in, or set it",
    example="<12 digits>",
    section="before-you-begin",
)
_CONNECTION = Missing(
    key="connection_arn",
    meaning="the connection to the repository",
    example="arn:aws:codeconnections:<region>:<account>:connection/<id>",
    section="1-connect-the-repository",
)
_REPOSITORY = Missing(
    key="repository",
    meaning="the repository to deploy, as owner/name",
    example="<owner>/<name>",
    section="1-connect-the-repository",
)
_CERTIFICATE_EXAMPLE = "arn:aws:acm:<region>:<account>:certificate/<id>"


def missing_values(values: Mapping[str, Any]) -> Iterator[Missing]:
    """Yield what ``values`` lack: the keys of `cdk.json`, overrides merged, environments parsed."""
    yield from (each for each in (_ACCOUNT, _CONNECTION, _REPOSITORY) if not values.get(each.key))
    environments: Mapping[str, Mapping[str, Any]] = values["environments"]
    insecure = [name for name, own in environments.items() if not _has_certificate({**values, **own})]
    if insecure and len(insecure) == len(environments):
        yield _certificate("certificate_arn", "every environment")
    else:
        yield from (_certificate(f"environments.{name}.certificate_arn", name) for name in insecure)


def message(missing: list[Missing]) -> str:
    """Return what to do about ``missing``, for people."""
    count = "One value is" if len(missing) == 1 else f"{len(missing)} values are"
    return "\n".join(
        [
            f'{count} missing. Set each in cdk.json, under "context", or pass it once: make deploy CONTEXT="-c ...".',
            *map(str, missing),
        ]
    )


def _has_certificate(values: Mapping[str, Any]) -> bool:
    """Return whether there is a certificate, or a zone in which one can be validated."""
    return bool(values.get("certificate_arn") or values.get("hosted_zone_id"))


def _certificate(key: str, whose: str) -> Missing:
    return Missing(
        key=key,
        meaning=f"an ACM certificate for {whose}, or domain_name, hosted_zone_id and hosted_zone_name to have one",
        example=_CERTIFICATE_EXAMPLE,
        section="4-provide-a-certificate",
    )
