"""Images and a host for tasks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.ecr.images import ImageStore
from rehearsal.ecs.tasks import TaskHost
from tests.rehearsal.ecs import stand_in
from tests.rehearsal.ecs.stand_in import Gate


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    """An image store with the stand-in."""
    return stand_in.build_images(tmp_path)


@pytest.fixture
def host(tmp_path: Path, images: ImageStore) -> TaskHost:
    """A host for tasks."""
    return stand_in.create_host(tmp_path, images)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate at which a script waits."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()
