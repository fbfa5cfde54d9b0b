"""`make rehearse`: take a commit through the whole pipeline on this machine.

Exit status: 0 success, 1 a stage failed or something is left, 2 invalid use, 130 interrupted.
"""

import contextlib
import signal
import threading

from rehearsal.cli.display import make_display
from rehearsal.cli.session import Session, run_session
from rehearsal.codepipeline.execution import StageFailedError
from rehearsal.runner.emulated_account import LeftoversError, SetupError

_OUTCOMES = {0: "succeeded", 1: "failed", 130: "interrupted"}


def main() -> int:
    """Rehearse the checkout's commit; return the exit status."""
    return run_session(make_display, _run)


def _run(session: Session) -> int:
    """Rehearse, and stop every process in any case; return the exit status."""
    timeline, display = session.rehearsal.timeline, session.display
    timeline.record(commit=session.commit.id, outcome="running")
    display.say(f"rehearsing {session.commit.id[:12]} {session.commit.subject}")
    display.start()
    status = 1
    try:
        _rehearse(session)
        _summarize_decisions(session, failed=False)
        status = 0
    except (StageFailedError, SetupError) as error:
        _summarize_decisions(session, failed=True)
        display.fail("The rehearsal failed", str(error), error.log)
    except LeftoversError as error:
        display.fail("The rehearsal failed", str(error), None)
    except KeyboardInterrupt:
        display.say("interrupted: stopping everything")
        status = 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        session.rehearsal.account.close()
        display.stop()
        timeline.record(outcome=_OUTCOMES[status])
    return status


def _rehearse(session: Session) -> None:
    rehearsal, display, keeps_serving = session.rehearsal, session.display, session.options.keeps_serving
    session.run_in_background(lambda: rehearsal.prepare(session.deployed))
    session.run_in_background(lambda: rehearsal.run(session.commit))
    stacks = rehearsal.account.served_stacks()
    rehearsal.timeline.record(endpoints={stack.name: stack.url for stack in stacks})
    lines = [f"{stack.name}: {stack.url}" for stack in stacks]
    if keeps_serving:
        if stacks:
            lines += ["", *rehearsal.example(stacks[-1])]
        lines += ["", "Ctrl-C destroys everything."]
    workspace = rehearsal.account.workspace
    lines += [f"logs: {workspace.logs}", f"timeline: {workspace.timeline}"]
    display.finish("Every stage succeeded", lines)
    if keeps_serving:
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        display.start()
    session.run_in_background(rehearsal.destroy)
    display.finish("Rehearsed: everything was destroyed, nothing is left", [])


def _summarize_decisions(session: Session, *, failed: bool) -> None:
    """Print how many calls the deployed policies decided, and after a failure the ones that they denied."""
    decisions = session.rehearsal.save_decisions()
    calls = decisions.count_by_principal()
    session.rehearsal.timeline.record(decisions=calls)
    denials = decisions.denials()
    total = f"{sum(calls.values())} calls of {len(calls)} principals"
    session.display.say(f"the deployed policies decided {total} and denied {len(denials)}")
    for denial in denials if failed else ():
        session.display.say(f"  {denial}")
