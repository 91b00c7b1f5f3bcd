"""Whether an engine makes progress, by the answers it gives."""

from deployments.progress import Progress


def test_nothing_is_asked_of_an_engine_that_answers() -> None:
    progress = Progress(quiet_s=2, stall_s=8)
    assert not progress.canary_is_due(now=101.9, last_answer=100)
    assert progress.progressing(now=101.9, last_answer=100)


def test_a_quiet_engine_is_asked_once() -> None:
    progress = Progress(quiet_s=2, stall_s=8)
    assert progress.canary_is_due(now=102, last_answer=100)
    assert not progress.canary_is_due(now=103, last_answer=100)
    assert not progress.canary_is_due(now=110, last_answer=100)


def test_silence_counts_from_the_question_not_from_the_last_answer() -> None:
    """An engine, or this whole process, may have been stopped for a day."""
    progress = Progress(quiet_s=2, stall_s=8)
    assert progress.progressing(now=90_000, last_answer=100)
    progress.canary_is_due(now=90_000, last_answer=100)
    assert progress.progressing(now=90_007.9, last_answer=100)


def test_an_engine_that_owes_an_answer_for_too_long_is_stalled() -> None:
    progress = Progress(quiet_s=2, stall_s=8)
    progress.canary_is_due(now=102, last_answer=100)
    assert progress.progressing(now=109.9, last_answer=100)
    assert not progress.progressing(now=110, last_answer=100)


def test_it_stays_stalled_however_long_it_takes() -> None:
    progress = Progress(quiet_s=2, stall_s=8)
    progress.canary_is_due(now=102, last_answer=100)
    assert not progress.progressing(now=1_000_000, last_answer=100)
    assert not progress.canary_is_due(now=1_000_000, last_answer=100)


def test_any_answer_ends_the_stall() -> None:
    progress = Progress(quiet_s=2, stall_s=8)
    progress.canary_is_due(now=102, last_answer=100)
    assert progress.progressing(now=120, last_answer=119)


def test_a_canary_that_is_still_out_is_owed_from_the_last_answer_on() -> None:
    progress = Progress(quiet_s=2, stall_s=8)
    progress.canary_is_due(now=102, last_answer=100)
    assert progress.progressing(now=126.9, last_answer=119)
    assert not progress.progressing(now=127, last_answer=119)


def test_a_canary_that_came_back_lets_the_next_go_when_it_is_due() -> None:
    progress = Progress(quiet_s=2, stall_s=8)
    progress.canary_is_due(now=102, last_answer=100)
    progress.canary_ended()
    assert progress.progressing(now=200, last_answer=102)
    assert not progress.canary_is_due(now=103, last_answer=102)
    assert progress.canary_is_due(now=104, last_answer=102)


def test_a_canary_that_failed_is_followed_by_another_and_is_no_answer() -> None:
    progress = Progress(quiet_s=2, stall_s=8)
    progress.canary_is_due(now=102, last_answer=100)
    progress.canary_failed()
    assert progress.canary_is_due(now=103, last_answer=100)
    assert not progress.canary_is_due(now=104, last_answer=100)
    assert not progress.progressing(now=110, last_answer=100)


def test_a_canary_that_came_back_after_a_failed_one_ends_the_stall() -> None:
    progress = Progress(quiet_s=2, stall_s=8)
    progress.canary_is_due(now=102, last_answer=100)
    progress.canary_failed()
    progress.canary_is_due(now=103, last_answer=100)
    progress.canary_ended()
    assert progress.progressing(now=111, last_answer=111)
    assert progress.canary_is_due(now=113, last_answer=111)
