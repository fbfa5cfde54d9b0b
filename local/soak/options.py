"""The options of a soak, from environment variables."""

from pydantic import Field

from rehearsal.host.settings import EnvironmentSettings


class Options(EnvironmentSettings):
    """How long a soak lasts for the stage, and how many times faster its time passes."""

    minutes: float = Field(default=15.0, ge=0.1, le=24 * 60.0)
    time_scale: float = Field(default=1.0, ge=1.0, le=1_000.0)

    @property
    def seconds(self) -> float:
        """How many seconds it lasts on the clock of this machine."""
        return self.minutes * 60 / self.time_scale

    @property
    def environment(self) -> dict[str, str]:
        """The variables that tell containers about the time scale."""
        return {} if self.time_scale == 1 else {"TIME_SCALE": f"{self.time_scale:g}"}
