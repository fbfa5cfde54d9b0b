"""Whether the history of a payment can be explained: each operation takes effect at one moment of its own time.

The search is Wing and Gong's (Testing and Verifying Concurrent Objects, 1993) with Lowe's memory of what was tried,
as in Knossos and porcupine, of which there is no maintained port to Python. A payment is an object of its own, so
histories are short (P-compositionality). The model knows what merchants may know: no attempts, leases or workers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.proof.history import NEVER, Entry, Verdict

_CAPTURABLE = ("requires_capture", "partially_captured")
_VOIDABLE = (*_CAPTURABLE, "requires_action")
_DECLINED_CREATION = {
    "tok_declined", "tok_insufficient_funds", "tok_lost_declined", "tok_pending_declined", "tok_processor_error",
    "pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class State:
    """A payment as its merchant sees it. ``decided`` is what the customer has said, while the payment waits for it."""

    status: str = ""
    method: str = ""
    amount: int = 0
    manual: bool = False
    captured: int = 0
    refunded: int = 0
    decided: bool | None = None


def explain(recorded: Sequence[Entry]) -> list[Entry] | None:
    """Return the entries in an order that explains every answer, or ``None`` if there is none.

    A request without an answer may have been on its way all the time. If the operation was refused later, nothing is
    kept under its key that could tell: it may be carried out at any later time, or never. A customer's decision is
    followed by its settlement, which nobody answers.
    """
    settlements = [replace(entry, kind="settle") for entry in recorded if entry.kind == "decide"]
    entries = [*(replace(e, returned=NEVER) if _is_doubtful(e) else e for e in recorded), *settlements]
    tried: set[tuple[frozenset[int], State]] = set()

    def search(left: frozenset[int], state: State) -> list[Entry] | None:
        if not left:
            return []
        if (left, state) in tried:
            return None
        tried.add((left, state))
        # Whatever has returned before another was invoked comes before it.
        first_return = min(entries[number].returned for number in left)
        for number in sorted(left):
            entry = entries[number]
            if entry.invoked > first_return:
                continue
            for after in _apply(entry, state, entries):
                rest = search(left - {number}, after)
                if rest is not None:
                    return [entry, *rest]
        return None

    return search(frozenset(range(len(entries))), State())


def _apply(entry: Entry, state: State, entries: Sequence[Entry]) -> Iterator[State]:
    """Yield the states that `entry` can leave behind, none if its answer does not fit `state`."""
    if entry.kind == "look":
        return iter([state] if _shows(entry, state) else [])
    if entry.kind == "create":
        return _create(entry, state)
    if entry.kind == "decide":
        return _decide(entry, state)
    if entry.kind == "settle":
        return _settle(state)
    if entry.verdict is Verdict.REFUSED:
        return _refused(entry, state, entries)
    return _declined(entry, state) if entry.status == 402 else _done(entry, state)


def _done(entry: Entry, state: State) -> Iterator[State]:
    after = _effect(entry, state)
    if after is not None and _answers(entry, after):
        yield after


def _shows(entry: Entry, state: State) -> bool:
    seen = (entry.body["status"], entry.body["amount_captured"], entry.body["amount_refunded"])
    # The outcome of its creation, or of the customer's decision, is still to come.
    if seen == ("processing", 0, 0):
        return state.status == "" or state.decided is not None
    return seen == (state.status, state.captured, state.refunded) and state.decided is None


def _create(entry: Entry, state: State) -> Iterator[State]:
    if state.status:
        return
    asked = entry.arguments
    method = asked["payment_method"]
    manual = asked["capture_method"] == "manual"
    base = State(method=method, amount=asked["amount"], manual=manual)
    if entry.status == 402:
        may_fail = method in _DECLINED_CREATION or method.startswith("pm_")
        if may_fail and entry.body["payment"]["status"] == "failed":
            yield replace(base, status="failed")
    elif method == "tok_3ds":
        if entry.body["status"] == "requires_action":
            yield replace(base, status="requires_action")
    elif method not in _DECLINED_CREATION:
        after = _authorized(base)
        if (entry.body["status"], entry.body["amount_captured"]) == (after.status, after.captured):
            yield after


def _authorized(state: State) -> State:
    if state.manual:
        return replace(state, status="requires_capture")
    return replace(state, status="succeeded", captured=state.amount)


def _decide(entry: Entry, state: State) -> Iterator[State]:
    """The customer is heard, or comes too late."""
    yield state
    if state.status == "requires_action" and state.decided is None:
        yield replace(state, decided=entry.arguments["approve"])


def _settle(state: State) -> Iterator[State]:
    """The customer's decision counts, or was lost on its way: then the customer is asked again."""
    if state.decided is not None:
        yield replace(_authorized(state) if state.decided else replace(state, status="failed"), decided=None)
    yield replace(state, decided=None)


def _is_doubtful(entry: Entry) -> bool:
    return entry.verdict is Verdict.REFUSED and entry.unanswered


def _refused(entry: Entry, state: State, entries: Sequence[Entry]) -> Iterator[State]:
    """Nothing happened, for a reason: the state, or others at work at the same time who reserved what is left."""
    after = None if entry.kind == "create" else _effect(entry, state)
    if after is None or _is_doubtful(entry) or _has_company(entry, entries):
        yield state
    if after is not None and _is_doubtful(entry):
        yield after


def _declined(entry: Entry, state: State) -> Iterator[State]:
    """The processor refused: the method says so, and the state allowed to ask."""
    if _effect(entry, state) is None:
        return
    if state.method == "tok_capture_expired" and entry.kind == "capture":
        yield replace(state, status="succeeded" if state.captured else "canceled")
    elif f"tok_{entry.kind}_declined" == state.method:
        yield state


def _effect(entry: Entry, state: State) -> State | None:
    """Return the state after an operation, ``None`` if the state does not allow it."""
    if entry.kind == "capture":
        return _captured(entry, state)
    if entry.kind == "void":
        if state.status not in _VOIDABLE or state.decided is not None:
            return None
        return replace(state, status="succeeded" if state.captured else "canceled")
    left = state.captured - state.refunded
    amount = entry.arguments.get("amount") or (entry.body["amount"] if entry.status == 201 else left)
    if not 0 < amount <= left:
        return None
    return replace(state, refunded=state.refunded + amount)


def _captured(entry: Entry, state: State) -> State | None:
    left = state.amount - state.captured
    amount = entry.arguments.get("amount") or left
    if state.status not in _CAPTURABLE or not 0 < amount <= left:
        return None
    complete = entry.arguments["final"] or amount == left
    status = "succeeded" if complete else "partially_captured"
    return replace(state, status=status, captured=state.captured + amount)


def _answers(entry: Entry, after: State) -> bool:
    """Return whether the body is the state that the operation left behind."""
    body = entry.body
    if entry.kind == "refund":
        return bool(body["status"] == "succeeded")
    seen = (body["status"], body["amount_captured"], body["amount_refunded"])
    return bool(seen == (after.status, after.captured, after.refunded))


def _has_company(entry: Entry, entries: Sequence[Entry]) -> bool:
    """Return whether another operation was at work at the same time."""
    others = (e for e in entries if e is not entry and e.kind not in ("look", "create"))
    return any(e.invoked <= entry.returned and entry.invoked <= e.returned for e in others)
