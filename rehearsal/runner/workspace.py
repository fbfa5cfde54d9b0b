"""The files of a rehearsal: everything that it writes is below `.run/` of the checkout."""

import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from rehearsal.host.lock import exclusive_lock


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The paths of a checkout's rehearsal."""

    checkout: Path

    @property
    def run(self) -> Path:
        """The folder of everything that the rehearsal writes."""
        return self.checkout / ".run"

    @property
    def rehearsal(self) -> Path:
        """The folder of one rehearsal; emptied when the next one starts."""
        return self.run / "rehearsal"

    @property
    def logs(self) -> Path:
        """One log file per action."""
        return self.rehearsal / "logs"

    @property
    def builds(self) -> Path:
        """The working copies of builds."""
        return self.rehearsal / "builds"

    @property
    def artifacts(self) -> Path:
        """The artifact store."""
        return self.rehearsal / "artifacts"

    @property
    def home(self) -> Path:
        """HOME of every process that the rehearsal starts."""
        return self.rehearsal / "home"

    @property
    def caches(self) -> Path:
        """Caches of package managers."""
        return self.run / "cache"

    @property
    def toolchain(self) -> Path:
        """The tools of the build image."""
        return self.run / "toolchain"

    @property
    def timeline(self) -> Path:
        """The timeline, as JSON."""
        return self.run / "rehearsal.json"

    def empty(self) -> None:
        """Remove what the last rehearsal left; caches stay."""
        shutil.rmtree(self.rehearsal, ignore_errors=True)
        for folder in (self.logs, self.builds, self.artifacts, self.home):
            folder.mkdir(parents=True)

    def lock(self) -> AbstractContextManager[None]:
        """Lock the checkout for one rehearsal.

        Raises:
            LockedError: Another rehearsal has locked it.

        """
        return exclusive_lock(self.run / "lock")
