"""What the router knows of one sequence, and what an engine is told of it."""

import math

import pytest

from deployments.messages import NOT_SAMPLED, Adapter, Pooling, Sampling
from deployments.scheduling.terms import Terms
from deployments.stream import Stream
from deployments.ticket import OUTPUT_WEIGHT, work
from tests.unit.peers import ticket


class TestCost:
    async def test_is_what_the_prompt_and_the_expected_answer_take(self) -> None:
        assert ticket(prompt=[1] * 10, expected_output=7).cost == 10 + 7 * OUTPUT_WEIGHT

    async def test_of_a_generated_token_is_more_than_of_a_prompts(self) -> None:
        assert work(0, 1) > work(1, 0)

    async def test_of_an_input_that_is_pooled_is_that_of_its_tokens(self) -> None:
        assert ticket(prompt=[1] * 10, expected_output=0).cost == 10


class TestContext:
    async def test_is_the_prompt_at_first(self) -> None:
        assert ticket(prompt=[1, 2, 3]).context == 3

    async def test_grows_by_what_has_come(self) -> None:
        moved = ticket(prompt=[1, 2, 3])
        moved.emitted += [7, 8]
        assert moved.context == 5


class TestRemaining:
    async def test_is_what_is_expected_less_what_has_come(self) -> None:
        running = ticket(expected_output=5)
        running.emitted += [7, 8]
        assert running.remaining == 3

    @pytest.mark.parametrize("tokens", [5, 6, 100])
    async def test_is_never_less_than_the_next_token(self, tokens: int) -> None:
        long = ticket(expected_output=5)
        long.emitted += [7] * tokens
        assert long.remaining == 1


class TestDeadline:
    async def test_counts_from_the_arrival_less_the_way_to_the_client(self) -> None:
        assert ticket(terms=Terms(deadline_s=1.5), now=100.0).deadline == 101.48
        assert ticket(terms=Terms(deadline_s=0.1), now=100.0).deadline == pytest.approx(100.09)

    async def test_is_never_where_none_was_asked_for(self) -> None:
        assert ticket().deadline == math.inf

    async def test_is_of_the_first_token_of_the_whole_request(self) -> None:
        stream, terms = Stream(2, 100), Terms(deadline_s=1.5)
        both = [ticket(stream, index, terms=terms) for index in range(2)]
        stream.begun = True
        assert [each.deadline for each in both] == [math.inf] * 2


class TestWhatAnEngineGets:
    async def test_is_the_prompt_and_how_to_sample(self) -> None:
        sampling = Sampling(5, seed=3, logprobs=1, prompt_logprobs=0)
        sequence = ticket(prompt=[4, 5], sampling=sampling).sequence(17)
        assert (sequence.id, sequence.prompt_token_ids, sequence.sampling) == (
            17,
            [4, 5],
            sampling,
        )
        assert sequence.emitted_token_ids == []

    async def test_has_the_salt_of_its_terms(self) -> None:
        assert ticket(terms=Terms(cache_salt="pepper")).sequence(0).cache_salt == "pepper"
        assert ticket().sequence(0).cache_salt is None

    async def test_has_its_adapter_also_when_another_engine_goes_on(self) -> None:
        law = Adapter(1, "law", "/law")
        moved = ticket(adapter=law)
        assert moved.sequence(0).adapter == law
        moved.emitted += [7]
        assert moved.sequence(1).adapter == law
        assert ticket().sequence(0).adapter is None

    async def test_is_what_to_make_of_an_input_that_is_pooled(self) -> None:
        pooled = ticket(sampling=Pooling("embed")).sequence(0)
        assert (pooled.pooling, pooled.sampling) == (Pooling("embed"), NOT_SAMPLED)
        assert ticket().sequence(0).pooling is None

    async def test_tells_what_has_been_generated_elsewhere(self) -> None:
        moved = ticket(prompt=[4, 5])
        moved.emitted += [7, 8]
        sequence = moved.sequence(0)
        assert (sequence.prompt_token_ids, sequence.emitted_token_ids) == ([4, 5], [7, 8])

    async def test_does_not_grow_while_it_waits_to_be_sent(self) -> None:
        moved = ticket()
        sequence = moved.sequence(0)
        moved.emitted += [7, 8]
        assert sequence.emitted_token_ids == []
