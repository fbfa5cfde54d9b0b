"""Images and a host for tasks."""

from pathlib import Path

import pytest

from rehearsal.ecr.images import ImageStore
from rehearsal.ecs.tasks import TaskHost
from tests.rehearsal.ecs import stand_in


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    """An image store with the stand-in."""
    return stand_in.build_images(tmp_path)


@pytest.fixture
def host(tmp_path: Path, images: ImageStore) -> TaskHost:
    """A host for tasks."""
    return stand_in.create_host(tmp_path, images)
