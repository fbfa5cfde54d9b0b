"""A failing processor is not called for a while, then tried by one call, and used again once it responds."""

import pytest

from payments.processors.circuit import CircuitBreaker, CircuitOpen


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, cooldown=10, clock=clock)


def _fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.failed()


def test_single_failures_change_nothing(breaker: CircuitBreaker) -> None:
    for _ in range(5):
        _fail(breaker, 2)
        breaker.succeeded()
    breaker.check()
    assert not breaker.is_open


def test_consecutive_failures_open_it_for_a_while(breaker: CircuitBreaker, clock: Clock) -> None:
    _fail(breaker, 3)
    clock.now = 4
    with pytest.raises(CircuitOpen) as raised:
        breaker.check()
    assert raised.value.retry_after == 6
    assert breaker.is_open


def test_after_the_cooldown_one_trial_call_is_let_through(breaker: CircuitBreaker, clock: Clock) -> None:
    _fail(breaker, 3)
    clock.now = 10
    breaker.check()
    with pytest.raises(CircuitOpen):
        breaker.check()


def test_a_trial_that_succeeds_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    _fail(breaker, 3)
    clock.now = 10
    breaker.check()
    breaker.succeeded()
    breaker.check()
    breaker.check()
    assert not breaker.is_open


def test_a_trial_that_fails_opens_it_again(breaker: CircuitBreaker, clock: Clock) -> None:
    _fail(breaker, 3)
    clock.now = 10
    breaker.check()
    clock.now = 12
    breaker.failed()
    clock.now = 21
    with pytest.raises(CircuitOpen) as raised:
        breaker.check()
    assert raised.value.retry_after == 1


def test_a_lost_trial_does_not_leave_it_open_forever(breaker: CircuitBreaker, clock: Clock) -> None:
    _fail(breaker, 3)
    clock.now = 10
    breaker.check()
    clock.now = 20
    breaker.check()
