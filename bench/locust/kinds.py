"""What each kind of user says. No I/O: requests go out and answers come in. Pure."""

import json
import random
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from bench.attack_list import CHAT, COMPLETIONS, attacks
from bench.locust.messages import Answer, Request
from bench.locust.options import Settings
from bench.plan import Lengths

EMBEDDINGS = "/v1/embeddings"
_AT_ONCE_S = 1.0
_NOBODY_LISTENS = 9  # on the discard port of the server's own machine
_TEXT = """
the a and of to in is that it was for on are as with his they at be this from have or by
one had not but what all were when we there can an your which their said if do will each
about how up out them then she many some so these would other into has more her two like
him see time could no make than first been its who now people my made over did down only
way find use may water long little very after words called just where most know get
through back much
"""
_WORDS = _TEXT.split()


class Speaker:
    """One user's side: the same request until it has been heard or is lost."""

    name: ClassVar[str]

    def __init__(self, settings: Settings, draw: random.Random) -> None:
        self.settings, self.draw = settings, draw
        self._pending: Request | None = None

    @property
    def request(self) -> Request:
        if self._pending is None:
            self._pending = self.compose()
        return self._pending

    def end(self, answer: Answer) -> None:
        """The request has come to its end, unless it was refused: then it is to be sent again."""
        if not self.refused(answer):
            self._pending = None
            self.react(answer)

    def compose(self) -> Request:
        """The next request."""
        raise NotImplementedError

    def react(self, answer: Answer) -> None:
        """Take in what came of it."""

    def refused(self, answer: Answer) -> bool:
        """Whether to come back later, which is no failure."""
        return answer.retry_after_s is not None

    def fault(self, answer: Answer) -> str | None:
        """Why an answer is a failure; None when it is what it should be."""
        return answer.error

    def words(self, count: int) -> str:
        """About as many tokens."""
        return " ".join(self.draw.choices(_WORDS, k=count))

    def ids(self, count: int) -> list[int]:
        """Exactly as many tokens."""
        return self.draw.choices(range(self.settings.vocab), k=count)

    def generation(self, tokens: int, **body: Any) -> dict[str, Any]:
        """A request of so many tokens."""
        more = {"ignore_eos": True} if self.settings.ignore_eos else {}
        return {"model": self.settings.model, "max_tokens": tokens, **more, **body}

    def streamed(self, path: str, body: Mapping[str, Any]) -> Request:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        return Request(path, json.dumps({**body, **options}).encode(), stream=True)


class Chat(Speaker):
    """Sessions in which each turn brings all that was said before."""

    name = "Chat"

    def __init__(self, settings: Settings, draw: random.Random) -> None:
        super().__init__(settings, draw)
        self._said: list[dict[str, str]] = []

    def compose(self) -> Request:
        lengths = self.settings.lengths
        self._said.append({"role": "user", "content": self.words(lengths.prompt)})
        return self.streamed(CHAT, self.generation(lengths.answer, messages=self._said))

    def react(self, answer: Answer) -> None:
        self._said.append({"role": "assistant", "content": answer.text})
        if answer.error or self._is_over(answer.prompt_tokens + answer.tokens):
            self._said = []

    def _is_over(self, so_far: int) -> bool:
        settings = self.settings
        # A word may be two tokens.
        next_one = so_far + 2 * settings.lengths.prompt + settings.lengths.answer
        full = settings.context is not None and next_one > settings.context
        return full or len(self._said) >= 2 * settings.turns


class Completion(Speaker):
    """One prompt, one answer, as long as the settings or the trace have it."""

    name = "Completion"

    def __init__(
        self, settings: Settings, draw: random.Random, lengths: Lengths | None = None
    ) -> None:
        super().__init__(settings, draw)
        self._lengths = lengths or settings.lengths

    def compose(self) -> Request:
        prompt = self.ids(self._lengths.prompt)
        return self.streamed(COMPLETIONS, self.generation(self._lengths.answer, prompt=prompt))


class LongContext(Completion):
    """A prompt as long as asked for, or as the model can take."""

    name = "LongContext"

    def __init__(self, settings: Settings, draw: random.Random) -> None:
        answer = settings.lengths.answer
        room = settings.long if settings.context is None else settings.context - answer
        super().__init__(settings, draw, Lengths(max(min(settings.long, room), 1), answer))


class Embeddings(Speaker):
    """One text."""

    name = "Embeddings"

    def compose(self) -> Request:
        text = self.words(self.settings.lengths.prompt)
        body = {"model": self.settings.embedding_model, "input": text}
        return Request(EMBEDDINGS, json.dumps(body).encode())


class Batch(Speaker):
    """Many prompts in one request, which may wait."""

    name = "Batch"

    def compose(self) -> Request:
        lengths = self.settings.lengths
        prompts = [self.ids(lengths.prompt) for _ in range(self.settings.batch)]
        body = self.generation(lengths.answer, prompt=prompts)
        headers = {"x-sluice-class": "batch"}
        return Request(COMPLETIONS, json.dumps(body).encode(), headers=headers)


class Abusive(Speaker):
    """Bodies that nobody should take: a 4xx at once is what they should get."""

    name = "Abusive"

    def compose(self) -> Request:
        return self.draw.choice(_bad(self.settings.model))

    def refused(self, answer: Answer) -> bool:
        return False  # a bad body is bad at any time

    def fault(self, answer: Answer) -> str | None:
        if not answer.status:
            return answer.error
        if not 400 <= answer.status < 500 or answer.status == 429:
            return f"{answer.status} instead of a 4xx"
        if answer.seconds > _AT_ONCE_S:
            return f"{answer.status} not at once"
        return None


SPEAKERS: Mapping[str, type[Speaker]] = {
    speaker.name.lower(): speaker
    for speaker in (Chat, Completion, LongContext, Embeddings, Batch, Abusive)
}


@cache
def _bad(model: str) -> Sequence[Request]:
    """Those of the attacks that come as a request with a body."""
    found = []
    for attack in attacks(model, _NOBODY_LISTENS):
        if attack.is_http and not attack.closes:
            head, _, body = b"".join(attack.pieces()).partition(b"\r\n\r\n")
            found.append(Request(head.split()[1].decode(), body))
    return found
