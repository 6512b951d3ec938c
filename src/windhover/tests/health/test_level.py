import hypothesis.strategies as st
from hypothesis import given

from windhover.health.level import Hysteresis, Level, Status

OK, BAD = Status(Level.OK, "fine"), Status(Level.ERROR, "broken")


def test_the_first_status_is_shown_at_once():
    assert Hysteresis(5.0, 5.0).update(OK, 0.0) == OK


def test_it_gets_worse_only_after_a_while_and_better_only_after_another():
    shown = Hysteresis(raise_delay_s=1.0, clear_delay_s=3.0)
    shown.update(OK, 0.0)
    assert shown.update(BAD, 1.0) == OK
    assert shown.update(BAD, 1.9) == OK
    assert shown.update(BAD, 2.0) == BAD
    assert shown.update(OK, 3.0) == BAD
    assert shown.update(OK, 5.9) == BAD
    assert shown.update(OK, 6.0) == OK


def test_what_flickers_is_not_shown():
    shown = Hysteresis(raise_delay_s=1.0, clear_delay_s=1.0)
    shown.update(OK, 0.0)
    for step in range(1, 40):
        assert shown.update(BAD if step % 2 else OK, step * 0.6) == OK


def test_new_words_of_the_same_level_are_taken_over():
    shown = Hysteresis(1.0, 1.0)
    shown.update(Status(Level.WARN, "80 °C"), 0.0)
    assert shown.update(Status(Level.WARN, "81 °C"), 0.1).text == "81 °C"


@given(st.lists(st.tuples(st.sampled_from(list(Level)), st.floats(0.01, 5.0)), min_size=1))
def test_what_is_shown_was_seen_before(steps):
    shown, now, history = Hysteresis(1.0, 2.0), 0.0, []
    for level, gap in steps:
        now += gap
        history.append((now, level))
        result = shown.update(Status(level, level.name), now)
        assert result.level in {past for _, past in history}
