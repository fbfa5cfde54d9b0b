"""The container runtime, behind a synchronous facade."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TypeVar

import boto3.session

from rehearsal.ecr.images import ImageStore
from rehearsal.ecs.isolation import container_label
from rehearsal.ecs.task_roles import TaskRoles
from rehearsal.elbv2.load_balancer import Endpoint
from rehearsal.host.certificates import CertificateAuthority
from rehearsal.host.errors import RehearsalError
from rehearsal.host.processes import sweep_leftovers
from rehearsal.runtime.controller import Controller, RuntimeSettings, RuntimeStatus

_Result = TypeVar("_Result")


class ContainerRuntime:
    """Runs the services, databases and load balancers of an emulated account.

    Start it, pass `control_url` to the emulator, `connect` it to the account, and `stop` it in any case. It works on a
    thread of its own; its methods may be called from any other thread.
    """

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self.authority = CertificateAuthority(settings.directory / "ca")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._controller: Controller | None = None

    @property
    def ca_file(self) -> Path:
        """The root certificate to trust (PEM)."""
        return self.authority.certificate

    @property
    def control_url(self) -> str:
        """The URL of the control API."""
        return self._running().control_api.url

    def start(self) -> None:
        """Stop what a killed rehearsal left, empty the registry, and start the thread and the control API."""
        directory = self._settings.directory
        for name in sweep_leftovers(directory):
            self._settings.on_event(f"stopped what an earlier rehearsal left running: {name}")
        self._remove_containers()
        for folder in ("databases", "tasks", "logs"):
            shutil.rmtree(directory / folder, ignore_errors=True)
            (directory / folder).mkdir(parents=True)
        ImageStore(self._settings.images).empty_registry()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="container runtime", daemon=True)
        self._thread.start()
        try:
            self._controller = self._call(Controller.start(self._settings, self.authority))
        except BaseException:
            self.stop()
            raise

    def connect(self, session: boto3.session.Session, *, task_roles: TaskRoles | None = None) -> None:
        """Connect it to an account.

        Args:
            session: A session whose clients use the emulator.
            task_roles: Authorizes what the agents of tasks do; without it nothing is authorized.

        """
        controller = self._running()
        controller.session, controller.task_roles = session, task_roles

    def endpoints(self) -> dict[str, Endpoint]:
        """Return the local addresses of the load balancers, by DNS name."""
        controller = self._running()
        if controller.session is not None:
            self._call(controller.synchronize())
        return controller.balancers.endpoints()

    def localize(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Replace the DNS names of load balancers in texts by local addresses."""
        self.endpoints()
        localize: Callable[[str], str] = self._running().balancers.localize
        return {name: localize(text) for name, text in texts.items()}

    def status(self) -> RuntimeStatus:
        """Return what is running."""
        return self._call(self._running().status())

    def stop(self) -> None:
        """Stop every process and delete the databases; a runtime that is not running is left alone."""
        loop, thread, controller = self._loop, self._thread, self._controller
        self._loop = self._thread = self._controller = None
        if loop is None or thread is None:
            return
        try:
            if controller is not None:
                asyncio.run_coroutine_threadsafe(controller.close(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            sweep_leftovers(self._settings.directory)
            self._remove_containers()

    def _remove_containers(self) -> None:
        """Remove what is left in the engine, whose containers outlive the clients that started them."""
        engine = self._settings.engine
        if engine is not None:
            engine.remove(engine.find_containers(container_label(self._settings.directory / "tasks")))

    def _running(self) -> Controller:
        if self._controller is None:
            raise RehearsalError("the container runtime is not running")
        return self._controller

    def _call(self, work: Coroutine[None, None, _Result]) -> _Result:
        if self._loop is None:
            work.close()
            raise RehearsalError("the container runtime is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
