"""One sequence, read by a parser of vLLM's.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0. It uses
`Parser.parse`, `Parser.parse_delta`, and of what is private to a parser `_stream_state`,
`_engine_based` and `_reasoning_parser`.
"""

import logging
from collections.abc import Callable

from vllm.entrypoints.generate.base.protocol import DeltaFunctionCall, DeltaMessage
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.parser import Parser
from vllm.parser.abstract_parser import DelegatingParser

from deployments.pace import Turn
from deployments.speech import CallPiece, Said, unsaid

logger = logging.getLogger("ray.serve")


class VllmReader:
    """Reads one sequence with a parser of its own.

    A parser that fails is used no more: what comes from there on is content, as vLLM has it of most
    answers that are sent whole.
    """

    def __init__(
        self,
        new_parser: Callable[[], Parser],
        request: ChatCompletionRequest,
        prompt_token_ids: list[int],
        turn: Turn,
        *,
        shows_reasoning: bool,
    ) -> None:
        self._new_parser = new_parser
        self._parser = new_parser()
        self._request = request
        self._prompt = prompt_token_ids
        self._calls = bool(request.tools)
        self._tells_late = self._calls and not getattr(self._parser, "_engine_based", False)
        """Whether the parser is one of the older ones, which say one thing for each piece, however
        much is in it: a call that comes in one or two pieces they never tell."""
        self._turn = turn
        self._shows_reasoning = shows_reasoning
        self._unread: list[str] = []
        self._unread_ids: list[int] = []
        self._text: list[str] = []
        self._token_ids: list[int] = []
        self._said: list[Said] = []
        self._named: set[int] = set()
        self._reasoned = False
        self._failed = False

    @property
    def only_content_follows(self) -> bool:
        """Whether all text to come is content."""
        parser = self._parser
        return self._failed or (
            isinstance(parser, DelegatingParser)
            and parser.tool_parser is None
            and parser._stream_state.reasoning_ended
        )

    @property
    def reasoning_tokens(self) -> int:
        """How many of the tokens that have been read were for thinking."""
        count: int = self._parser.count_reasoning_tokens(tuple(self._token_ids))
        if count or not self._reasoned:
            return count
        # vLLM's older parsers count from the mark that begins a thought: here the prompt has it.
        end = getattr(self._parser.reasoning_parser, "end_token_id", None)
        return self._token_ids.index(end) if end in self._token_ids else len(self._token_ids)

    def read(self, text: str, token_ids: list[int], *, last: bool) -> Said:
        """What the next piece says, and those before it that have not been looked at."""
        self._unread.append(text)
        self._unread_ids += token_ids
        if not (last or self._turn.has_come):
            return Said()
        text, self._unread = "".join(self._unread), []
        token_ids, self._unread_ids = self._unread_ids, []
        self._token_ids += token_ids
        with self._turn.look():
            said = Said(content=text) if self._failed else self._read(text, token_ids, last)
        self._reasoned = self._reasoned or bool(said.reasoning)
        if self._tells_late:
            self._text.append(text)
            self._said.append(said)
            if last and not self._failed:
                said.add(self._unsaid())
        if last:
            self._turn.end()
        return self._shown(said)

    def read_whole(self, text: str, token_ids: list[int]) -> Said:
        """What a whole answer says."""
        self._token_ids = token_ids
        try:
            said = self._parse(self._parser, text)
        except Exception:
            logger.exception("A parser failed; the answer is given as content.")
            said = Said(content=text)
        self._reasoned = bool(said.reasoning)
        return self._shown(said)

    def _read(self, text: str, token_ids: list[int], last: bool) -> Said:
        said = Said()
        pieces = self._apart(text, token_ids)
        try:
            for number, (piece, ids) in enumerate(pieces, 1):
                message = self._parser.parse_delta(
                    piece, ids, self._request, self._prompt, finished=last and number == len(pieces)
                )
                if message is not None:
                    said.add(self._said_by(message))
        except Exception:
            logger.exception("A parser failed; what follows is given as content.")
            self._failed = True
            return Said(content=text)
        return said

    def _apart(self, text: str, token_ids: list[int]) -> list[tuple[str, list[int]]]:
        """The older parsers know the mark that begins a thought only where it comes alone."""
        thoughts = self._parser.reasoning_parser
        mark = getattr(thoughts, "start_token_id", None)
        start = thoughts.reasoning_start_str if thoughts is not None else None
        if mark not in token_ids or not start or start not in text:
            return [(text, token_ids)]
        at = token_ids.index(mark)
        before, _, behind = text.partition(start)
        pieces = [(before, token_ids[:at]), (start, [mark]), (behind, token_ids[at + 1 :])]
        return [piece for piece in pieces if piece[1]]

    def _said_by(self, message: DeltaMessage) -> Said:
        said = Said(message.reasoning or "", message.content or "")
        for call in message.tool_calls:
            function = call.function or DeltaFunctionCall()
            if function.name is not None:
                self._named.add(call.index)
            if call.index in self._named:  # else it is told as a whole in the end
                piece = CallPiece(call.index, function.arguments or "", function.name, call.id)
                said.call(piece)
        return said

    def _unsaid(self) -> Said:
        """What the pieces did not tell of the whole."""
        said = Said()
        for piece in self._said:
            said.add(piece)
        try:
            whole = self._parse(self._new_parser(), "".join(self._text))
        except Exception:
            logger.exception("A parser failed; its stream stays as it is.")
            return Said()
        return unsaid(said, whole)

    def _parse(self, parser: Parser, text: str) -> Said:
        parser.set_prompt_token_ids(self._prompt)
        thoughts = parser.reasoning_parser
        is_older = thoughts is not None and not thoughts.engine_based_streaming
        if is_older and thoughts.is_reasoning_end(self._prompt):
            # They look at the prompt only where an answer comes in pieces.
            parser._reasoning_parser = None
        reasoning, content, calls = parser.parse(
            text,
            self._request,
            enable_auto_tools=self._calls,
            model_output_token_ids=self._token_ids,
        )
        said = Said(reasoning or "", content or "")
        for index, call in enumerate(calls or ()):
            said.call(CallPiece(index, call.arguments, call.name, call.id))
        return said

    def _shown(self, said: Said) -> Said:
        if not self._shows_reasoning:
            said.reasoning = ""
        return said
