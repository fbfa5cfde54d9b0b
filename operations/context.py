"""What a person says about an installation: `cdk.json`, and over it `-c key=value`, as for `make deploy`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIX = "environment_suffix"


class ContextError(Exception):
    """What was given cannot be read; the message says what and why."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """The CDK context at hand. It may differ from that of the deployed installation, which `Deployed` tells."""

    #: `context` of `cdk.json`.
    file: Mapping[str, object]
    #: What was given with `-c`.
    given: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path, given: Sequence[str]) -> "Context":
        """Read the `cdk.json` in `folder`, if there is one, and `key=value` pairs.

        Raises:
            ContextError: a pair has no key or no equals sign, or `cdk.json` is no JSON.
        """
        pairs: dict[str, str] = {}
        for pair in given:
            key, separator, value = pair.partition("=")
            if not separator or not key:
                raise ContextError(f'-c {pair}: want key=value, as in CONTEXT="-c {SUFFIX}=alice".')
            pairs[key] = value
        return cls(file=_context(folder / "cdk.json"), given=pairs)

    @property
    def suffix(self) -> str | None:
        """The explicitly chosen environment suffix, `""` included; None where nobody has chosen.

        An empty suffix in `cdk.json` is what is committed for everybody and no choice.
        """
        if SUFFIX in self.given:
            return self.given[SUFFIX]
        return str(self.file.get(SUFFIX) or "") or None

    def filed(self, key: str) -> object:
        """Return what `cdk.json` says; the key may be dotted (`environments.dev.region`)."""
        value: object = self.file
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def named(self, key: str) -> set[str]:
        """Return every value of `key` (`region`, `account`), the pipeline's and the environments'."""
        return {str(value) for value in self._named(key) if value}

    def _named(self, key: str) -> Iterator[object]:
        yield self.given.get(key, self.file.get(key))
        environments = as_json(self.given.get("environments", self.file.get("environments")))
        own = dict(environments) if isinstance(environments, Mapping) else {}
        for name, environment in own.items():
            dotted = f"environments.{name}.{key}"
            filed = environment.get(key) if isinstance(environment, Mapping) else None
            yield self.given.get(dotted, filed)
        yield from (value for name, value in self.given.items() if name.split(".")[0::2] == ["environments", key])


def as_json(value: object) -> object:
    """Return what a value of `-c` means: JSON where it is JSON, else the text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _context(file: Path) -> Mapping[str, object]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ContextError(f"{file} is no JSON: {error}.") from error
    context = content.get("context", {}) if isinstance(content, Mapping) else {}
    return context if isinstance(context, Mapping) else {}
