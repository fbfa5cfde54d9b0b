"""The profile of the attacks: what a seed and a number of minutes promise."""

import pytest

from tests.proof.profile import Profile, profile


def test_the_same_seed_repeats_an_attack_and_another_does_not() -> None:
    first, again, other = (Profile(seed=seed, minutes=None).random("storm") for seed in (7, 7, 8))
    assert [first.random(), first.random()] == [again.random(), again.random()]
    assert Profile(seed=7, minutes=None).random("storm").random() != other.random()


def test_minutes_lengthen_an_attack_in_proportion_and_never_shorten_it() -> None:
    assert [Profile(seed=0, minutes=minutes).examples(20) for minutes in (None, 0.1, 30)] == [20, 20, 600]
    assert [Profile(seed=0, minutes=minutes).seconds(15) for minutes in (None, 0.1, 30)] == [15, 15, 1800]


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "soon", "1e9"])
def test_minutes_that_make_no_sense_are_refused(minutes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINUTES", minutes)
    with pytest.raises(ValueError, match=r"MINUTES|could not convert"):
        profile.__wrapped__()
