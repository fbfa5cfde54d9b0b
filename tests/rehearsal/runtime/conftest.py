"""Images for the services of the runtime."""

from pathlib import Path

import pytest

from rehearsal.ecr.images import ImageStore
from tests.rehearsal.ecs import stand_in


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    """An image store with the stand-in."""
    return stand_in.build_images(tmp_path)
