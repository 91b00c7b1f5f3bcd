"""Translation between English and another language, as a task of both directions.

Held out are words in a slot (a noun as subject, as object, described, or placed; an adjective
before the noun or behind the verb; a verb under negation, say) and combinations (template with
subject and verb, verb with object, adjective with noun, instruction with everyday phrase). They
are the same for both directions and both languages, so that none is taught the other way round.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from bench.training.example import Example, Message, said
from bench.training.languages import composing, english, requests
from bench.training.languages.meaning import Clause
from bench.training.languages.parts import combinations, words_in_slots
from bench.training.split import any_held_out
from bench.training.words.phrases import ONLY_FROM_ENGLISH, PHRASES
from bench.training.words.pronouns import PRONOUNS, Pronoun

Parts = tuple[str, ...]
_PHRASES = 0.08
_EARLIER = 0.08
_SHORT_FORMS = 0.12


@dataclass(frozen=True)
class Drawn:
    """A request and its answer, and what in them may be kept out of training."""

    messages: tuple[Message, ...]
    answer: str
    words: Sequence[Parts]
    combinations: Sequence[Parts]

    @property
    def new_word(self) -> bool:
        return any_held_out(self.words)

    @property
    def new_combination(self) -> bool:
        return any_held_out(self.combinations)


@dataclass(frozen=True)
class Translation:
    """English and `language`; `comes_back` says which meanings its sentences stand for."""

    name: str
    language: str
    say: Callable[[Clause], str]
    comes_back: Callable[[Clause], bool]
    more_pronouns: Sequence[Pronoun]  # those that one only translates from
    column: int  # of `PHRASES`

    def taught(self, random: Random) -> Example:
        return self._after_another(random, self._taught(random))

    def held_out(self, random: Random) -> Example:
        return self._after_another(random, self.kept_out(random))

    def kept_out(self, random: Random) -> Drawn:
        """Half of them have a word that is new in its slot, half are new combinations."""
        word = random.random() < 0.5
        while True:
            drawn = self.draw(random)
            if drawn.new_word if word else drawn.new_combination and not drawn.new_word:
                return drawn

    def _taught(self, random: Random) -> Drawn:
        while True:
            drawn = self.draw(random)
            if not (drawn.new_word or drawn.new_combination):
                return drawn

    def _after_another(self, random: Random, drawn: Drawn) -> Example:
        """Sometimes the same conversation has had a translation before this one."""
        messages = drawn.messages
        if random.random() < _EARLIER and messages[0]["role"] == "user":
            earlier = self._taught(random)
            answer = said("assistant", earlier.answer)
            messages = (*earlier.messages, answer, *messages)
        return Example(self.name, messages, drawn.answer)

    def draw(self, random: Random) -> Drawn:
        to_english = random.random() < 0.5
        if random.random() < _PHRASES:
            return self._phrase(random, to_english)
        return self._sentence(random, to_english)

    def _phrase(self, random: Random, to_english: bool) -> Drawn:
        row = random.choice(PHRASES if to_english else PHRASES + ONLY_FROM_ENGLISH)
        source, answer = row[0], row[self.column]
        if to_english:
            source, answer = answer, source
        form, messages = self._request(random, source, to_english)
        return Drawn(messages, answer, (), [("translation", form, row[0])])

    def _sentence(self, random: Random, to_english: bool) -> Drawn:
        clause = self._clause(random, to_english)
        source, answer = english.say(clause), self.say(clause)
        if to_english:
            source, answer = answer, source
        elif random.random() < _SHORT_FORMS:
            source = english.contracted(source)
        _, messages = self._request(random, source, to_english)
        return Drawn(messages, answer, words_in_slots(clause), combinations(clause))

    def _clause(self, random: Random, to_english: bool) -> Clause:
        if not to_english:
            return composing.compose(random)
        while True:
            clause = composing.compose(random, (*PRONOUNS, *self.more_pronouns))
            if self.comes_back(clause):
                return clause

    def _request(
        self, random: Random, sentence: str, to_english: bool
    ) -> tuple[str, tuple[Message, ...]]:
        languages = (self.language, "English") if to_english else ("English", self.language)
        return requests.request(random, *languages, sentence)
