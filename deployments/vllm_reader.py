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
from vllm.tool_parsers.gptoss_tool_parser import GptOssToolParser
from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser
from vllm.tool_parsers.llama_tool_parser import Llama3JsonToolParser

from deployments.pace import Turn
from deployments.speech import CallPiece, Said, joined, unsaid

logger = logging.getLogger(__name__)

_OF_ANY_PIECE = (GptOssToolParser, Hermes2ProToolParser, Llama3JsonToolParser)
"""Those of the older parsers that tell calls right however many tokens come together."""


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
        self._is_older = self._calls and not getattr(self._parser, "_engine_based", False)
        """Whether the parser is one of the older ones, which say one thing for each piece, however
        much is in it: a call that comes in one or two pieces they never tell."""
        self._needs_single_tokens = (
            self._is_older and type(self._parser.tool_parser) not in _OF_ANY_PIECE
        )
        self._tells_late = False
        """Whether calls that have not begun are told in the end, of the whole: of pieces of several
        tokens most of the older parsers tell other calls than they have."""
        self._turn = turn
        self._shows_reasoning = shows_reasoning
        self._unread: list[str] = []
        self._unread_ids: list[int] = []
        self._text: list[str] = []
        self._token_ids: list[int] = []
        self._said: list[Said] = []
        self._named: set[int] = set()
        self._begun: set[int] = set()
        """The calls of which arguments have been told."""
        self._thinking = 0
        """How many tokens brought thoughts and nothing else: to count exactly takes all of them."""
        self._reasoned = False
        self._failed = False
        self._ended = False

    @property
    def only_content_follows(self) -> bool:
        """Whether all text to come is content."""
        parser = self._parser
        return self._failed or (
            # Some of its kind change what comes behind the thoughts, too.
            type(parser).parse_delta is DelegatingParser.parse_delta
            and parser.tool_parser is None
            and parser._stream_state.reasoning_ended
        )

    @property
    def reasoning_tokens(self) -> int:
        """How many of the tokens that have been read were for thinking; exact when all are."""
        if not self._ended:
            return self._thinking
        if not self._reasoned:
            return 0
        count: int = self._parser.count_reasoning_tokens(tuple(self._token_ids))
        if count:
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
        if said.reasoning:
            self._reasoned = True
            if not (said.content or said.calls):
                self._thinking += len(token_ids)
        if self._is_older:
            self._text.append(text)
            self._said.append(said)
            if last and not self._failed:
                said.add(self._unsaid())
        if last:
            self._ended = True
            self._turn.end()
        return self._shown(said)

    def read_whole(self, text: str, token_ids: list[int]) -> Said:
        """What a whole answer says."""
        self._token_ids = token_ids
        self._ended = True
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
                if self._needs_single_tokens and len(ids) > 1:
                    self._tells_late = True
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
            # Others are told in the end. What has begun goes on: the whole may have it in other
            # spaces, and then no rest of it could be told.
            if call.index in (self._begun if self._tells_late else self._named):
                piece = CallPiece(call.index, function.arguments or "", function.name, call.id)
                said.call(piece)
                if piece.arguments:
                    self._begun.add(call.index)
        return said

    def _unsaid(self) -> Said:
        """What the pieces did not tell of the whole."""
        try:
            whole = self._parse(self._new_parser(), "".join(self._text))
        except Exception:
            logger.exception("A parser failed; its stream stays as it is.")
            return Said()
        return unsaid(joined(self._said), whole)

    def _parse(self, parser: Parser, text: str) -> Said:
        parser.set_prompt_token_ids(self._prompt)
        thoughts = parser.reasoning_parser
        if (
            thoughts is not None
            and parser.is_reasoning_end(self._prompt)
            and not thoughts.is_reasoning_end([])  # else that says nothing of the prompt
        ):
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
        return said if self._shows_reasoning else Said(content=said.content, calls=said.calls)
