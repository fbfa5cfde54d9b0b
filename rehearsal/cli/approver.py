"""Approvals in the terminal: the main thread asks, since Ctrl-C interrupts only it, while another thread works."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from rehearsal.cli.display import Display
from rehearsal.cli.options import ApprovalMode
from rehearsal.codepipeline.approval import ApprovalRequest

_POLL_SECONDS = 0.1
_CANCEL_SECONDS = 25.0


@dataclass(kw_only=True)
class TerminalApprover:
    """Passes approval requests to the main thread and waits for the decision."""

    mode: ApprovalMode
    requests: "queue.Queue[tuple[ApprovalRequest, queue.Queue[bool]]]" = field(default_factory=queue.Queue)

    def approve(self, request: ApprovalRequest) -> bool:
        """Return the decision of the mode, or that of the user."""
        if self.mode is not ApprovalMode.ASK:
            return self.mode is ApprovalMode.AUTO
        decision: queue.Queue[bool] = queue.Queue()
        self.requests.put((request, decision))
        return decision.get()

    def ask_next(self, display: Display) -> None:
        """Ask the user about the next request, if there is one within a moment; called by the main thread."""
        try:
            request, decision = self.requests.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return
        try:
            decision.put(display.ask(request))
        except BaseException:
            decision.put(item=False)  # the waiting thread must go on
            raise


def run_in_background(
    work: Callable[[], None], approver: TerminalApprover, display: Display, cancelled: threading.Event
) -> None:
    """Run `work` in a thread and ask about approvals meanwhile; its exception is raised here.

    On `KeyboardInterrupt` the work is cancelled and has time to stop what it started.
    """
    errors: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            errors.append(error)
        finally:
            ended.set()

    try:  # Ctrl-C may come while the thread starts, when its work may have begun already
        threading.Thread(target=run, name="rehearsal", daemon=True).start()
        while not ended.is_set():
            approver.ask_next(display)
    except KeyboardInterrupt:
        cancelled.set()
        ended.wait(_CANCEL_SECONDS)
        raise
    if errors:
        raise errors[0]
