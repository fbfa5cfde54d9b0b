"""How long the attacks last, and from which seed: ``MINUTES`` and ``SEED`` of the environment.

Without ``MINUTES`` an attack runs its short profile, which belongs into every run of the tests. With it, attacks grow
in proportion. The header of every run prints the seed: the same seed repeats the same attack, as far as the operating
system's scheduling does not decide. Unless given, the short profile's is the commit's, so that a commit passes or fails
alike wherever it is tested, and no second try helps; longer attacks have a random one.
"""

import os
import random
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Minutes that the short profile stands for: examples of longer ones are scaled by it.
_SHORT_MINUTES = 1.0
#: Shared by the processes of one run: pytest-xdist's workers inherit it from the process that prints it.
_SEED_VARIABLE = "SEED"
_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The profile of this run."""

    seed: int
    #: ``None`` for the short profile.
    minutes: float | None

    def examples(self, short: int) -> int:
        """Return how many examples to try, where the short profile tries ``short``."""
        return max(short, round(short * (self.minutes or _SHORT_MINUTES) / _SHORT_MINUTES))

    def seconds(self, short: float) -> float:
        """Return how many seconds an attack lasts, where the short profile's lasts ``short``."""
        return short if self.minutes is None else max(short, self.minutes * 60)

    def random(self, attack: str) -> random.Random:
        """Return the source of randomness of ``attack``, independent of which other attacks run."""
        return random.Random(f"{self.seed} {attack}")

    def __str__(self) -> str:
        return f"SEED={self.seed} MINUTES={'short profile' if self.minutes is None else f'{self.minutes:g}'}"


@cache
def profile() -> Profile:
    """Return the profile of this run.

    Raises:
        ValueError: ``MINUTES`` or ``SEED`` is not a number, or out of range.
    """
    minutes = float(os.environ["MINUTES"]) if os.environ.get("MINUTES") else None
    seed = int(os.environ.setdefault(_SEED_VARIABLE, str(_random_seed() if minutes else _seed_of_commit())))
    if minutes is not None and not 0 < minutes <= 24 * 60:
        raise ValueError("MINUTES must be above 0 and at most a day")
    return Profile(seed=seed, minutes=minutes)


def _random_seed() -> int:
    return random.SystemRandom().randint(0, _LARGEST_SEED)


def _seed_of_commit() -> int:
    """Return the seed of the checked-out commit; a random one outside of a repository."""
    head = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    found = subprocess.run(head, capture_output=True, text=True, check=False)
    return int(found.stdout, base=16) % _LARGEST_SEED if found.returncode == 0 else _random_seed()
