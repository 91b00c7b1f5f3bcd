import math
from typing import Any

import pytest

from bench.judgement.exchange import Outcome
from bench.judgement.goodput import (
    Probe,
    Terms,
    again,
    figures,
    foresight,
    points,
    told_over_true,
)

TERMS = Terms(deadline_s=2.0, tpot_s=0.15, start_s=0.0, end_s=10.0)


def answered(ttft: float, last: float, **more: Any) -> Outcome:
    """A whole answer of 11 tokens to a request that was sent at 1 s."""
    known = {
        "number": 0,
        "due_at": 1.0,
        "sent_at": 1.0,
        "done_at": 1 + last,
        "status": 200,
        "first_at": 1 + ttft,
        "last_at": 1 + last,
        "tokens": 11,
    }
    return Outcome(**{**known, **more})


def refused(code: str = "overloaded", **more: Any) -> Outcome:
    known = {"number": 1, "due_at": 1.0, "sent_at": 1.0, "done_at": 1.01, "status": 503}
    return Outcome(**{**known, "code": code, "error": f"503 {code}", **more})


class TestOutcome:
    def test_of_another_503_is_lost(self) -> None:
        assert not refused().lost
        assert refused("engine_failed").lost

    def test_that_broke_off_is_lost(self) -> None:
        assert answered(0.1, 0.2, error="stream without [DONE]").lost

    def test_has_a_time_for_each_token_after_the_first(self) -> None:
        assert answered(0.5, 1.5).tpot_s == pytest.approx(0.1)
        assert answered(0.5, 0.5, tokens=1).tpot_s is None

    def test_counts_the_tokens_of_a_time_as_if_they_came_evenly(self) -> None:
        outcome = answered(1.0, 3.0)  # the first at 2 s, the last at 4 s
        assert outcome.tokens_between(0, 10) == 11
        assert outcome.tokens_between(0, 3) == pytest.approx(6)
        assert outcome.tokens_between(3, 10) == pytest.approx(5)
        assert outcome.tokens_between(5, 10) == 0

    def test_whose_tokens_came_at_once_counts_them_all_then(self) -> None:
        outcome = answered(1.0, 1.0)
        assert (outcome.tokens_between(0, 3), outcome.tokens_between(3, 9)) == (11, 0)


class TestFigures:
    def test_count_as_good_what_began_within_the_deadline(self) -> None:
        found = figures([answered(2.0, 3.0), answered(2.1, 3.0)], TERMS)
        assert found.tok_s == pytest.approx(2.2)
        assert found.goodput_tok_s == pytest.approx(1.1)
        assert found.late == 1
        assert found.latest_ms == pytest.approx(100)

    def test_count_strictly_what_went_on_at_a_pace_as_well(self) -> None:
        found = figures([answered(1.0, 2.0), answered(1.0, 3.0)], TERMS)
        assert found.goodput_tok_s == pytest.approx(2.2)
        assert found.strict_tok_s == pytest.approx(1.1)

    def test_count_no_broken_answer_as_good_but_its_engine_time_as_late(self) -> None:
        found = figures([answered(3.0, 4.0, error="no end within 5 s")], TERMS)
        assert (found.goodput_tok_s, found.late) == (0, 1)
        assert found.lost == {"no end within 5 s": 1}

    def test_count_refusals_by_code_and_nothing_that_was_sent_again(self) -> None:
        again_ = answered(0.1, 1.0, attempt=1)
        found = figures([refused(), refused(), refused("deadline_exceeded"), again_], TERMS)
        assert found.refused == {"overloaded": 2, "deadline_exceeded": 1}
        assert (found.sent, found.answered, found.tok_s) == (3, 0, 0)

    def test_of_nothing_are_no_error(self) -> None:
        assert math.isnan(figures([], TERMS).ttft_ms.p50)


def test_what_was_sent_again_is_told_apart_by_its_end() -> None:
    outcomes = [refused(), answered(0.1, 1.0, attempt=1), refused(attempt=1)]
    found = again(outcomes)
    assert (found.sent, found.admitted, found.refused, found.lost) == (2, 1, 1, 0)


class TestForesight:
    def test_is_predicted_less_actual_where_both_are_known(self) -> None:
        outcomes = [
            answered(0.1, 1.0, predicted_ms=150.0),
            answered(0.3, 1.0, predicted_ms=250.0),
            answered(0.3, 1.0),
            refused(predicted_ms=9000.0),
        ]
        found = foresight(points(outcomes))
        assert found.count == 2
        assert found.error_p50_ms == pytest.approx(0)
        assert found.absolute_p50_ms == pytest.approx(50)

    def test_of_nothing_is_not_a_number(self) -> None:
        assert math.isnan(foresight([]).error_p50_ms)


class TestToldOverTrue:
    def test_measures_against_the_middle_of_the_last_refusal_and_the_admission(self) -> None:
        probes = [
            Probe(at_s=0.0, told_s=1.0),
            Probe(at_s=0.9, told_s=0.1),
            Probe(at_s=1.1, admitted=True),
        ]
        assert told_over_true(probes, resolution=3) == [pytest.approx(1.0)]

    def test_is_nothing_when_none_was_let_in(self) -> None:
        assert told_over_true([Probe(at_s=0.0, told_s=1.0)], 3) == []

    def test_is_nothing_when_none_was_refused(self) -> None:
        assert told_over_true([Probe(at_s=0.0, admitted=True)], 3) == []

    def test_passes_over_refusals_without_a_time(self) -> None:
        probes = [Probe(at_s=0.0), Probe(at_s=9.9, told_s=1.0), Probe(at_s=10.1, admitted=True)]
        assert told_over_true(probes, 3) == []
