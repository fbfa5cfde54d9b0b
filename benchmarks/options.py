"""What `make bench` takes: environment variables, so that `make bench ROUNDS=3 ONLY=create` works."""

from pathlib import Path

from pydantic import Field

from rehearsal.host.settings import EnvironmentSettings

_RUN = Path(__file__).parents[1] / ".run"


class Options(EnvironmentSettings):
    """The options of a run; every field is the variable of that name in upper case."""

    #: Rounds of interleaved blocks.
    rounds: int = Field(default=5, ge=1)
    #: Seconds of each block. (Not SECONDS, which is a variable of bash's own.)
    block_seconds: float = Field(default=3.0, gt=0)
    #: Requests in flight, and connections of pgbench.
    in_flight: int = Field(default=16, ge=1)
    #: Rows to run, separated by commas; see `rows.ALL`. Empty: those that are run by default.
    only: str = ""
    #: Judge although other processes take processor time.
    anyway: bool = False
    #: Payments stored before the row `stored` begins.
    stored_payments: int = Field(default=1_000_000, ge=0)
    #: Attempts that the row `recovery` has to recover.
    orphans: int = Field(default=10_000, ge=1)
    #: Webhooks that the row `deliveries` has to deliver.
    deliveries: int = Field(default=2_000, ge=1)
    #: Payments of the row `memory`.
    memory_payments: int = Field(default=100_000, ge=10)
    #: Minutes of the row `idle`.
    idle_minutes: float = Field(default=1.0, gt=0)
    #: A checkout of pgledger (github.com/pgr0ss/pgledger), or a URL to clone it from: it is no part of this repository.
    pgledger: str = ""

    #: Where results, logs and data are.
    bench_directory: Path = _RUN

    def rows(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the rows to run."""
        return tuple(name.strip() for name in self.only.split(",") if name.strip()) or default
