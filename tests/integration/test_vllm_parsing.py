"""vLLM's own parsers, as the router uses them: told apart in pieces as at once."""

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments import default_model, parser_names
from deployments.errors import BadRequest
from deployments.messages import Reasoning, StructuredOutputs
from deployments.speech import Asked, CallPiece, Reader, Said

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own

DEEPSEEK_MARKS = [
    f"<\uff5ctool▁{mark}\uff5c>"
    for mark in ("calls▁begin", "call▁begin", "sep", "call▁end", "calls▁end")
]
MARKS = [
    *("<tool_call>", "</tool_call>", "<think>", "</think>", "<|python_tag|>"),
    *("<|open|>", "<|close|>", "<|sep|>", "<ifm|think>", "</ifm|think>"),
    *DEEPSEEK_MARKS,
]
PROMPT = [6, 7, 8]
ROME, OSLO = '{"city": "Rome"}', '{"city": "Oslo", "days": [1, {"x": "}"}]}'
HERMES = f"""Let me look.
<tool_call>
{{"name": "weather", "arguments": {ROME}}}
</tool_call>
<tool_call>
{{"name": "time", "arguments": {OSLO}}}
</tool_call>"""
WEATHER_AND_TIME = [("weather", ROME), ("time", OSLO)]
CALLS, CALL, SEP, END, ALL = DEEPSEEK_MARKS
DEEPSEEK = f"Let me look.{CALLS}{CALL}weather{SEP}{ROME}{END}{CALL}time{SEP}{OSLO}{END}{ALL}"
KIMI_THOUGHT = "<|open|>think<|sep|>Hm.<|close|>think<|sep|>"
KIMI = f"{KIMI_THOUGHT}<|open|>response<|sep|>Yes.<|close|>response<|sep|>"


def tool(name: str, **fields: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters, **fields}}


TOOLS = [tool("weather"), tool("time")]


@dataclass(frozen=True)
class Case:
    """What a model with these parsers says, and what it means."""

    text: str
    reasoning: str = ""
    content: str = ""
    calls: Sequence[tuple[str, str]] = ()
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    asked: dict[str, Any] = field(default_factory=dict)


HARD: dict[str, Any] = {"reasoning": "Hard <b>one</b>.", "reasoning_parser": "deepseek_r1"}
CASES = {
    "hermes": Case(HERMES, "", "Let me look.\n", WEATHER_AND_TIME, "hermes"),
    "hermes-text": Case("I <b>know</b> it.", "", "I <b>know</b> it.", (), "hermes"),
    "hermes-broken": Case(
        '<tool_call>{"name": oops</tool_call>',
        content='<tool_call>{"name": oops</tool_call>',
        tool_parser="hermes",
    ),
    "llama": Case(
        f'<|python_tag|>{{"name": "weather", "parameters": {ROME}}}',
        calls=[("weather", ROME)],
        tool_parser="llama3_json",
    ),
    "llama-two": Case(
        f'{{"name": "weather", "parameters": {ROME}}}; {{"name": "time", "parameters": {ROME}}}',
        calls=[("weather", ROME), ("time", ROME)],
        tool_parser="llama3_json",
    ),
    "llama-text": Case("Two {curly} ones.", "", "Two {curly} ones.", (), "llama3_json"),
    "r1": Case("<think>Hard <b>one</b>.</think>Yes.", content="Yes.", **HARD),
    "r1-opened": Case("Hard <b>one</b>.</think>Yes.", content="Yes.", **HARD),
    "r1-endless": Case("<think>Hard <b>one</b>.", **HARD),
    "r1-hermes": Case(
        "Hard <b>one</b>.</think>" + HERMES,
        content="Let me look.\n",
        calls=WEATHER_AND_TIME,
        tool_parser="hermes",
        **HARD,
    ),
    "qwen3": Case(
        "<think>\nHard.\n</think>\n\nYes.",
        "\nHard.\n",
        "\n\nYes.",
        reasoning_parser="qwen3",
    ),
    "qwen3-hermes": Case(
        "<think>\nHard.\n</think>\n\n" + HERMES,
        "\nHard.\n",
        "\n\nLet me look.\n",
        WEATHER_AND_TIME,
        "hermes",
        "qwen3",
    ),
    "deepseek": Case(DEEPSEEK, "", "Let me look.", WEATHER_AND_TIME, "deepseek_v31"),
    "kimi": Case(KIMI, "Hm.", "Yes.", reasoning_parser="kimi_k3"),
    "xml": Case(
        "<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n"
        "</tool_call>",
        calls=[("weather", ROME)],
        tool_parser="qwen3_coder",
    ),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """That of the embedded model, which knows nothing of thoughts and tools by itself."""
    cache = tmp_path_factory.mktemp("cache")
    auto = importlib.import_module("transformers").AutoTokenizer
    tokenizer = auto.from_pretrained(default_model.ensure("sluice-small", cache_dir=cache))
    tokenizer.add_tokens(MARKS)
    return tokenizer


@pytest.fixture(scope="module")
def parsing(tokenizer: Any) -> Callable[..., Any]:
    """Makes a model's parsers; vLLM is imported here, as it takes seconds."""
    kind = importlib.import_module("deployments.vllm_parsing").VllmParsing

    def make(model_type: str = "llama", **parsers: Any) -> Any:
        made = kind(tokenizer, {"model_type": model_type}, **parsers)
        made.pace.now = lambda: 0.0  # however slow this machine is, no look takes long
        return made

    return make


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def heard(case: Case, parsing: Callable[..., Any]) -> Any:
    """A chat with the model of a case, which may call tools if it has a parser for that."""
    parsers = {"tool_parser": case.tool_parser, "reasoning_parser": case.reasoning_parser}
    return parsing(**parsers).hear(chat(free=case.tool_parser is not None, **case.asked))


def chat(*, free: bool = True, **fields: Any) -> Asked:
    calls = {"tools": json.loads(json.dumps(TOOLS)), "tool_choice": "auto"} if free else {}
    return Asked(PROMPT, **{**calls, **fields})


def told(said: Said) -> tuple[str, str, list[tuple[str, str]]]:
    """As a client puts it together: a call's pieces go by its index."""
    calls: dict[int, tuple[str, str]] = {}
    for piece in said.calls:
        name, arguments = calls.get(piece.index, ("", ""))
        calls[piece.index] = name + (piece.name or ""), arguments + piece.arguments
    return said.reasoning, said.content, [calls[index] for index in sorted(calls)]


def meant(case: Case) -> tuple[str, str, list[tuple[str, str]]]:
    return case.reasoning, case.content, list(case.calls)


def in_pieces(reader: Reader, tokenizer: Any, text: str, cuts: Sequence[int]) -> Said:
    """All that is said when the text comes in pieces that end behind these tokens."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    ends = [0, *sorted({cut for cut in cuts if 0 < cut < len(ids)}), len(ids)]
    said = Said()
    for begin, end in pairwise(ends):
        piece = ids[begin:end]
        said.add(reader.read(tokenizer.decode(piece), piece, last=end == len(ids)))
    return said


class TestParsers:
    def test_tell_a_whole_answer_apart(self, case: Case, heard: Any, tokenizer: Any) -> None:
        ids = tokenizer.encode(case.text, add_special_tokens=False)
        assert told(heard.reader().read_whole(case.text, ids)) == meant(case)

    def test_tell_the_same_token_by_token(self, case: Case, heard: Any, tokenizer: Any) -> None:
        said = in_pieces(heard.reader(), tokenizer, case.text, range(len(case.text)))
        assert told(said) == meant(case)

    def test_tell_the_same_wherever_a_text_is_cut(
        self, case: Case, heard: Any, tokenizer: Any
    ) -> None:
        for cut in range(len(tokenizer.encode(case.text, add_special_tokens=False))):
            said = in_pieces(heard.reader(), tokenizer, case.text, [cut])
            assert told(said) == meant(case), cut

    @given(cuts=st.lists(st.integers(0, 120), max_size=12))
    @settings(
        deadline=None,
        max_examples=60,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_tell_the_same_in_any_pieces(
        self, case: Case, heard: Any, tokenizer: Any, cuts: list[int]
    ) -> None:
        assert told(in_pieces(heard.reader(), tokenizer, case.text, cuts)) == meant(case)


@pytest.mark.parametrize("name", ["r1", "r1-opened", "r1-endless", "qwen3"])
def test_what_a_model_thinks_is_counted_in_tokens(
    name: str, parsing: Callable[..., Any], tokenizer: Any
) -> None:
    case = CASES[name]
    heard = parsing(reasoning_parser=case.reasoning_parser).hear(chat(free=False))
    thought = len(tokenizer.encode(case.reasoning, add_special_tokens=False))
    ids = tokenizer.encode(case.text, add_special_tokens=False)
    streaming, at_once = heard.reader(), heard.reader()
    in_pieces(streaming, tokenizer, case.text, range(len(ids)))
    at_once.read_whole(case.text, ids)
    assert (streaming.reasoning_tokens, at_once.reasoning_tokens) == (thought, thought)


def test_what_is_not_to_be_shown_is_counted_all_the_same(
    parsing: Callable[..., Any], tokenizer: Any
) -> None:
    heard = parsing(reasoning_parser="deepseek_r1").hear(chat(free=False, include_reasoning=False))
    reader = heard.reader()
    said = in_pieces(reader, tokenizer, CASES["r1-opened"].text, range(100))
    assert told(said) == ("", "Yes.", [])
    thought = CASES["r1"].reasoning
    assert reader.reasoning_tokens == len(tokenizer.encode(thought, add_special_tokens=False))


@pytest.mark.parametrize("kwargs", [{}, {"enable_thinking": False}], ids=["", "told"])
@pytest.mark.parametrize("reasoning_parser", ["deepseek_r1", "qwen3"])
def test_a_model_that_has_thought_in_its_prompt_only_answers(
    parsing: Callable[..., Any], tokenizer: Any, reasoning_parser: str, kwargs: dict[str, Any]
) -> None:
    prompt = tokenizer.encode("<think></think>", add_special_tokens=False)
    asked = Asked(prompt, chat_template_kwargs=kwargs)
    heard = parsing(reasoning_parser=reasoning_parser).hear(asked)
    ids = tokenizer.encode("Yes.", add_special_tokens=False)
    at_once, streaming = heard.reader(), heard.reader()
    for said in (at_once.read_whole("Yes.", ids), in_pieces(streaming, tokenizer, "Yes.", [1])):
        assert told(said) == ("", "Yes.", [])
    assert (at_once.reasoning_tokens, streaming.reasoning_tokens) == (0, 0)


def test_a_prompt_is_looked_through_once_for_all_that_is_read(
    parsing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = importlib.import_module("vllm.reasoning.basic_parsers").BaseThinkingReasoningParser
    looks, look = [], kind.is_reasoning_end

    def counted(self: Any, ids: list[int]) -> Any:
        looks.append(len(ids))
        return look(self, ids)

    monkeypatch.setattr(kind, "is_reasoning_end", counted)
    heard = parsing(reasoning_parser="deepseek_r1").hear(chat(free=False))
    for _ in range(3):
        heard.reader().read("Hm", [7], last=False)
        heard.reader().read_whole("Hm", [7])
    assert looks.count(len(PROMPT)) == 1


def test_a_thought_that_is_cut_off_comes_once(parsing: Callable[..., Any], tokenizer: Any) -> None:
    heard = parsing(reasoning_parser="granite", tool_parser="hermes").hear(chat())
    text = "Here is my thought process: Hard"
    said = in_pieces(heard.reader(), tokenizer, text, range(100))
    assert (said.reasoning.strip(), said.content) == ("Hard", "")


def test_thoughts_are_counted_while_they_come(parsing: Callable[..., Any], tokenizer: Any) -> None:
    reader = parsing(reasoning_parser="deepseek_r1").hear(chat(free=False)).reader()
    counts = []
    for text in ("<think>", "Hm", "Hm", "</think>", "Yes"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        reader.read(text, ids, last=False)
        counts.append(reader.reasoning_tokens)
    one = len(tokenizer.encode("Hm", add_special_tokens=False))
    assert counts == [0, one, 2 * one, 2 * one, 2 * one]


class TestOlderParsers:
    """They take pieces of several tokens for something else than what is in them."""

    def test_finish_a_call_that_has_begun_as_they_began_it(
        self, parsing: Callable[..., Any], tokenizer: Any
    ) -> None:
        text = """<longcat_tool_call>
{"name":"time","arguments":{"city":"Oslo","days":[1,{"x":"}"}]}}
</longcat_tool_call>"""
        heard = parsing(tool_parser="longcat").hear(chat())
        for cut in range(len(tokenizer.encode(text, add_special_tokens=False))):
            said = in_pieces(heard.reader(), tokenizer, text, range(cut))
            [(name, arguments)] = told(said)[2]
            assert (name, json.loads(arguments)) == ("time", json.loads(OSLO)), cut

    @pytest.mark.parametrize(("name", "tells_at_once"), [("hermes", True), ("deepseek", False)])
    def test_tell_calls_as_they_come_only_if_they_tell_them_right(
        self, parsing: Callable[..., Any], tokenizer: Any, name: str, tells_at_once: bool
    ) -> None:
        case = CASES[name]
        reader = parsing(tool_parser=case.tool_parser).hear(chat()).reader()
        ids = tokenizer.encode(case.text, add_special_tokens=False)
        said = Said()
        for at in range(0, len(ids) - 1, 4):
            piece = ids[at : at + 4]
            said.add(reader.read(tokenizer.decode(piece), piece, last=False))
        assert bool(said.calls) is tells_at_once


class TestHarmony:
    """What gpt-oss speaks; vLLM reads it by the ids of tokens."""

    PARSERS: ClassVar = {"model_type": "gpt_oss", "reasoning_parser": "openai_gptoss"}
    CALL = (
        "<|channel|>analysis<|message|>Hard.<|end|><|start|>assistant<|channel|>commentary "
        f"to=functions.weather <|constrain|>json<|message|>{ROME}<|call|>"
    )

    @pytest.mark.parametrize("step", [1, 3, 100])
    def test_is_told_apart_however_many_parsers_there_are(
        self, parsing: Callable[..., Any], step: int
    ) -> None:
        parsers = parsing(tool_parser="openai", **self.PARSERS)
        parsing(**self.PARSERS)  # another model, without tools
        heard = parsers.hear(chat())
        utils = importlib.import_module("vllm.entrypoints.openai.parser.harmony_utils")
        ids = utils.get_encoding().encode(self.CALL, allowed_special="all")
        at_once, streaming, said = heard.reader(), heard.reader(), Said()
        for at in range(0, len(ids), step):
            said.add(streaming.read("", ids[at : at + step], last=at + step >= len(ids)))
        for each in (said, at_once.read_whole("", ids)):
            assert told(each) == ("Hard.", "", [("weather", ROME)])
        assert streaming.reasoning_tokens == at_once.reasoning_tokens > 0


@pytest.mark.parametrize("reasoning_parser", ["deepseek_r1", "qwen3"])
def test_once_a_model_has_thought_nobody_need_read_on(
    parsing: Callable[..., Any], tokenizer: Any, reasoning_parser: str
) -> None:
    parsers = parsing(reasoning_parser=reasoning_parser, tool_parser="hermes")
    plain, free = (parsers.hear(chat(free=free)).reader() for free in (False, True))
    for text, expected in (("<think>", False), ("Hm.", False), ("</think>", True), ("Yes", True)):
        ids = tokenizer.encode(text, add_special_tokens=False)
        for reader in (plain, free):
            reader.read(text, ids, last=False)
        assert plain.only_content_follows is expected
        assert not free.only_content_follows


def test_what_a_parser_changes_behind_the_thoughts_it_reads_to_the_end(
    parsing: Callable[..., Any], tokenizer: Any
) -> None:
    reader = parsing(reasoning_parser="kimi_k3").hear(chat(free=False)).reader()
    ids = tokenizer.encode(KIMI_THOUGHT, add_special_tokens=False)
    reader.read(KIMI_THOUGHT, ids, last=False)
    assert not reader.only_content_follows


def test_a_parser_says_how_the_engine_has_to_write_what_it_reads(
    parsing: Callable[..., Any],
) -> None:
    for name, spaces in (("kimi_k3", False), ("deepseek_r1", True)):
        heard = parsing(reasoning_parser=name).hear(chat(free=False))
        assert heard.spaces_between_special_tokens is spaces
    asked = chat(free=False, spaces_between_special_tokens=False)
    assert not parsing(reasoning_parser="deepseek_r1").hear(asked).spaces_between_special_tokens


class TestRefusals:
    def test_name_the_variables_that_a_parser_goes_by(self, parsing: Callable[..., Any]) -> None:
        asked = chat(free=False, chat_template_kwargs={"reasoning_effort": "none"})
        with pytest.raises(BadRequest, match="reasoning_effort") as caught:
            parsing(reasoning_parser="k2_horizon").hear(asked)
        assert caught.value.param == "chat_template_kwargs"

    def test_name_tools_that_vllm_takes_for_none(self, parsing: Callable[..., Any]) -> None:
        with pytest.raises(BadRequest) as caught:
            parsing(tool_parser="hermes").hear(chat(tools=[{"type": "function"}]))
        assert caught.value.param == "tools"

    @pytest.mark.parametrize(
        ("own", "free", "param"),
        [
            ("tool_choice", True, "tool_choice"),
            (None, True, "tools"),
            (None, False, "structured_outputs"),
        ],
    )
    def test_name_what_vllm_names_or_what_a_form_is_made_of(
        self, parsing: Callable[..., Any], own: str | None, free: bool, param: str
    ) -> None:
        parsers = parsing(tool_parser="hermes")
        error = importlib.import_module("vllm.exceptions").VLLMValidationError

        def refuse(*_: Any) -> None:
            raise error("no", parameter=own)

        parsers._parser.adjust_request = refuse
        with pytest.raises(BadRequest) as caught:
            parsers.hear(chat(free=free))
        assert caught.value.param == param


class TestForms:
    @pytest.fixture
    def hermes(self, parsing: Callable[..., Any]) -> Any:
        return parsing(tool_parser="hermes")

    def test_are_none_where_the_model_may_choose(self, hermes: Any) -> None:
        heard = hermes.hear(chat())
        assert heard.structured_outputs is None
        assert heard.reasoning is None
        assert not heard.skip_special_tokens  # marks of calls may be some

    @pytest.mark.parametrize(
        ("fields", "at_least_one", "stop_after_first"),
        [
            ({"tool_choice": "required"}, True, False),
            ({"tool_choice": "required", "parallel_tool_calls": False}, True, True),
            ({"tool_choice": tool("time")}, True, True),
            ({"parallel_tool_calls": False}, False, True),
            ({"tools": [tool("time", strict=True)]}, False, False),
        ],
        ids=["required", "required-one", "named", "one", "strict"],
    )
    def test_are_those_of_the_models_own_calls(
        self,
        hermes: Any,
        fields: dict[str, Any],
        at_least_one: bool,
        stop_after_first: bool,
    ) -> None:
        form = json.loads(hermes.hear(chat(**fields)).structured_outputs.structural_tag)["format"]
        assert form["at_least_one"] is at_least_one
        assert form["stop_after_first"] is stop_after_first
        tag = form["tags"][-1]
        assert tag["begin"] == '<tool_call>{"name": "time", "arguments": '
        assert tag["content"]["json_schema"] == TOOLS[1]["function"]["parameters"]

    def test_that_the_client_wants_are_one_of_two(self, hermes: Any) -> None:
        wanted = StructuredOutputs(json='{"type": "object"}')
        form = json.loads(
            hermes.hear(chat(structured_outputs=wanted)).structured_outputs.structural_tag
        )["format"]
        assert form["type"] == "or"
        calls, content = form["elements"]
        assert calls["at_least_one"]
        assert content["json_schema"] == {"type": "object"}

    def test_that_the_client_wants_stay_what_they_are_where_calls_have_none(
        self, parsing: Callable[..., Any]
    ) -> None:
        wanted = StructuredOutputs(choice=("yes", "no"))
        heard = parsing(tool_parser="pythonic").hear(chat(structured_outputs=wanted))
        assert heard.structured_outputs == wanted

    @pytest.mark.parametrize(
        "wanted",
        [
            StructuredOutputs(json_object=True),
            StructuredOutputs(regex="[0-9]+"),
            StructuredOutputs(choice=("yes", "no")),
            StructuredOutputs(grammar='root ::= "yes"'),
        ],
        ids=["json_object", "regex", "choice", "grammar"],
    )
    def test_of_every_kind_may_be_one_of_two(self, hermes: Any, wanted: StructuredOutputs) -> None:
        form = hermes.hear(chat(structured_outputs=wanted)).structured_outputs
        assert json.loads(form.structural_tag)["format"]["type"] == "or"

    @pytest.mark.parametrize(
        ("prompt", "kwargs", "shown", "ended"),
        [
            ("", {}, True, False),
            ("<think>", {}, True, False),
            ("<think>Hm.</think>", {}, True, True),
            ("", {}, False, False),
        ],
        ids=["thinks", "begun", "done", "hidden"],
    )
    def test_hold_from_where_the_thoughts_end(
        self,
        parsing: Callable[..., Any],
        tokenizer: Any,
        prompt: str,
        kwargs: dict[str, Any],
        shown: bool,
        ended: bool,
    ) -> None:
        ids = [6, *tokenizer.encode(prompt, add_special_tokens=False)]
        asked = Asked(
            ids,
            include_reasoning=shown,
            structured_outputs=StructuredOutputs(json_object=True),
            chat_template_kwargs={"mood": "gay"},
        )
        heard = parsing(reasoning_parser="deepseek_r1").hear(asked)
        assert heard.structured_outputs == StructuredOutputs(json_object=True)
        assert heard.reasoning == Reasoning(ended, '{"mood": "gay"}')


class TestFailing:
    class Broken:
        """A parser that fails from some call on."""

        reasoning_parser = None

        def __init__(self, tells: int) -> None:
            self._tells = tells

        def parse_delta(self, text: str, *_: Any, **__: Any) -> Any:
            self._tells -= 1
            if self._tells < 0:
                raise RuntimeError("oops")
            delta = importlib.import_module("vllm.entrypoints.generate.base.protocol").DeltaMessage
            return delta(content=text)

        def parse(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("oops")

        def set_prompt_token_ids(self, _: list[int]) -> None:
            pass

    def test_parsers_leave_the_rest_as_content(self, parsing: Callable[..., Any]) -> None:
        reader = parsing(tool_parser="hermes").hear(chat()).reader()
        reader._parser = self.Broken(tells=1)
        said = [reader.read(text, [7], last=text == "c") for text in "abc"]
        assert [told(each) for each in said] == [("", text, []) for text in "abc"]
        assert reader.only_content_follows

    def test_parsers_leave_a_whole_answer_as_content(self, parsing: Callable[..., Any]) -> None:
        reader = parsing(tool_parser="hermes").hear(chat()).reader()
        reader._parser = self.Broken(tells=0)
        assert told(reader.read_whole("<tool_call>abc", [7])) == ("", "<tool_call>abc", [])

    @pytest.mark.parametrize(
        ("parsers", "message"),
        [
            ({"tool_parser": "jamba"}, "jamba"),
            ({"tool_parser": "hf", "reasoning_parser": "qwen3"}, "cannot be combined"),
        ],
    )
    def test_parsers_that_are_not_for_the_model_say_so(
        self, parsing: Callable[..., Any], parsers: dict[str, str], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            parsing(**parsers)


def test_a_slow_parser_gets_several_tokens_at_once(
    parsing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsers = parsing(tool_parser="hermes")
    now = [0.0]
    parsers.pace.now = lambda: now[0]
    reader = parsers.hear(chat()).reader()
    parse_delta, seen = reader._parser.parse_delta, []

    def slowly(text: str, *arguments: Any, **options: Any) -> Any:
        now[0] += 0.01
        seen.append(text)
        return parse_delta(text, *arguments, **options)

    monkeypatch.setattr(reader._parser, "parse_delta", slowly)
    said = Said()
    for number in range(50):
        said.add(reader.read(f"w{number} ", [7], last=number == 49))
        now[0] += 0.02
    assert said.content == "".join(f"w{number} " for number in range(50))
    assert 8 <= len(seen) <= 12


def test_every_name_that_the_configuration_takes_is_one_of_vllms() -> None:
    tools = importlib.import_module("vllm.tool_parsers").ToolParserManager
    thoughts = importlib.import_module("vllm.reasoning").ReasoningParserManager
    assert parser_names.tool_parsers() == set(tools.list_registered())
    assert parser_names.reasoning_parsers() == set(thoughts.list_registered())


def test_a_call_has_the_id_that_the_model_gave_it(parsing: Callable[..., Any]) -> None:
    reader = parsing(tool_parser="hermes").hear(chat()).reader()
    [call] = reader.read_whole(f'<tool_call>{{"name": "time", "arguments": {ROME}}}', [7]).calls
    assert call == CallPiece(0, ROME, "time", call.id)
