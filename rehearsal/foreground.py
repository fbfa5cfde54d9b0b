"""The main thread's part: it alone can be interrupted by Ctrl-C, so it waits and asks while a thread works."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from rehearsal.codepipeline.approval import Request
from rehearsal.console import Display
from rehearsal.options import Decision

_POLL_SECONDS = 0.1
_STOP_SECONDS = 25.0


@dataclass(kw_only=True)
class MainThreadApprover:
    """Hands approvals to the main thread and waits for its answer."""

    decision: Decision
    requests: "queue.Queue[tuple[Request, queue.Queue[bool]]]" = field(default_factory=queue.Queue)

    def approve(self, request: Request) -> bool:
        """Answer what the caller decided beforehand, or what the person at the terminal says."""
        if self.decision is not Decision.ASK:
            return self.decision is Decision.AUTO
        answer: queue.Queue[bool] = queue.Queue()
        self.requests.put((request, answer))
        return answer.get()

    def answer_next(self, display: Display) -> None:
        """Ask the person for the next waiting request, if there is one within a moment."""
        try:
            request, answer = self.requests.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return
        try:
            answer.put(display.ask(request))
        except BaseException:
            answer.put(item=False)  # the asking thread must not wait for ever
            raise


def run_in_background(
    work: Callable[[], None], approver: MainThreadApprover, display: Display, cancelled: threading.Event
) -> None:
    """Run `work` in a thread; meanwhile answer approvals. What `work` raises is raised here.

    On `KeyboardInterrupt` the work is cancelled and given time to stop what it started.
    """
    outcome: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            outcome.append(error)

    thread = threading.Thread(target=guarded, name="rehearsal", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            approver.answer_next(display)
    except KeyboardInterrupt:
        cancelled.set()
        thread.join(_STOP_SECONDS)
        raise
    if outcome:
        raise outcome[0]
