"""What a person states about an installation: `cdk.json` and, over it, `-c key=value`, as for `make deploy`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIX = "environment_suffix"


class ContextError(Exception):
    """The context cannot be parsed; the message says what and why."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """The stated CDK context, which may differ from that of the deployed installation (`DeployedPipeline`)."""

    #: `context` of `cdk.json`.
    file: Mapping[str, object]
    #: What was given with `-c`.
    given: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path, given: Sequence[str]) -> "Context":
        """Read `cdk.json` in `folder`, if it exists, and `key=value` pairs.

        Raises:
            ContextError: A pair has no key or no equals sign, or `cdk.json` is not valid JSON.
        """
        pairs: dict[str, str] = {}
        for pair in given:
            key, separator, value = pair.partition("=")
            if not separator or not key:
                raise ContextError(f'-c {pair}: must be key=value, as in CONTEXT="-c {SUFFIX}=alice".')
            pairs[key] = value
        return cls(file=_read_file(folder / "cdk.json"), given=pairs)

    @property
    def suffix(self) -> str | None:
        """The explicitly chosen environment suffix, including `""`; None without a choice.

        An empty suffix in `cdk.json` is the committed default, not a choice.
        """
        if SUFFIX in self.given:
            return self.given[SUFFIX]
        return str(self.file.get(SUFFIX) or "") or None

    def from_file(self, key: str) -> object:
        """Return the value in `cdk.json`; the key may be dotted (`environments.dev.region`)."""
        value: object = self.file
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def values_of(self, key: str) -> set[str]:
        """Return every value of `key` (`region`, `account`), of the pipeline and of the environments."""
        return {str(value) for value in self._values_of(key) if value}

    def _values_of(self, key: str) -> Iterator[object]:
        yield self.given.get(key, self.file.get(key))
        environments = parse_json(self.given.get("environments", self.file.get("environments")))
        own = dict(environments) if isinstance(environments, Mapping) else {}
        for name, environment in own.items():
            default = environment.get(key) if isinstance(environment, Mapping) else None
            yield self.given.get(f"environments.{name}.{key}", default)
        yield from (value for name, value in self.given.items() if name.split(".")[0::2] == ["environments", key])


def parse_json(value: object) -> object:
    """Return a value of `-c` as JSON if it is valid JSON, otherwise unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _read_file(file: Path) -> Mapping[str, object]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ContextError(f"{file} is not valid JSON: {error}.") from error
    context = content.get("context", {}) if isinstance(content, Mapping) else {}
    return context if isinstance(context, Mapping) else {}
