"""Settings from environment variables."""

from typing import Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(Exception):
    """An environment variable has an invalid value; the message names it and what is allowed."""


class EnvironmentSettings(BaseSettings):
    """The base of settings: every field is the environment variable of the same name; an empty one counts as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore")

    @classmethod
    def read(cls) -> Self:
        """Read the settings.

        Raises:
            SettingsError: A value is invalid.

        """
        try:
            return cls()
        except ValidationError as error:
            problems = (f"{str(one['loc'][0]).upper()}={one['input']}: {one['msg']}" for one in error.errors())
            raise SettingsError("; ".join(problems)) from None
