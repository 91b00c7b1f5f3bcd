"""Calls that have to be made, as JSON: the form of them, and who reads them."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import xgrammar
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.speech import CallPiece, Said
from serve_app.http.forced_calls import ForcedCalls, NamedCall, RequiredCalls, form_of_calls
from serve_app.http.tools import Tool

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TREE = {
    "type": "object",
    "properties": {"left": {"$ref": "#"}, "leaf": {"$ref": "#/$defs/leaf"}},
    "additionalProperties": False,
    "$defs": {"leaf": {"enum": ["oak", "ash"]}},
}
TEXT = """[{"name": "weather", "parameters": {"city": "Rome \\"}]{[\\\\"}}, {"name":"f-2",
 "parameters" : {}} ,{"name": "weather", "parameters": {"a": [{"b": {}}, "]"], "c": null}}]"""
CALLS = [
    ("weather", '{"city": "Rome \\"}]{[\\\\"}'),
    ("f-2", "{}"),
    ("weather", '{"a": [{"b": {}}, "]"], "c": null}'),
]


def tools(**schemas: dict[str, Any]) -> list[Tool]:
    return [
        Tool.model_validate({"type": "function", "function": {"name": name, "parameters": schema}})
        for name, schema in schemas.items()
    ]


def takes(form: str | None, text: str) -> bool:
    """Whether the grammar that engines make of a form takes a text."""
    assert form is not None
    grammar = xgrammar.Grammar.from_json_schema(form)
    return bool(xgrammar.testing._is_grammar_accept_string(grammar, text))


def read(pieces: Sequence[str]) -> list[tuple[str | None, str]]:
    """The calls that a reader finds in a text that comes in these pieces."""
    reader, said = RequiredCalls(), Said()
    for piece in pieces:
        said.add(reader.read(piece))
    return [(call.name, call.arguments) for call in said.calls]


class TestForm:
    @pytest.mark.parametrize(
        ("text", "fits"),
        [
            ('[{"name": "weather", "parameters": {"city": "Rome"}}]', True),
            ('[{"name": "tree", "parameters": {}},{"name": "tree", "parameters": {}}]', True),
            ("[]", False),
            ('{"name": "tree", "parameters": {}}', False),
            ('[{"name": "shrub", "parameters": {}}]', False),
            ('[{"name": "tree"}]', False),
            ('[{"parameters": {}, "name": "tree"}]', False),
            ('[{"name": "tree", "parameters": {"city": "Rome"}}]', False),
            ('[{"name": "weather", "parameters": {}}]', False),
        ],
    )
    def test_is_an_array_of_calls_each_with_the_arguments_of_its_function(
        self, text: str, fits: bool
    ) -> None:
        form = form_of_calls(tools(weather=CITY, tree=TREE), parallel=True)
        assert takes(form.json, text) is fits

    @pytest.mark.parametrize(
        ("arguments", "fits"),
        [
            ({"left": {"left": {"leaf": "oak"}}, "leaf": "ash"}, True),
            ({"left": {"leaf": "Rome"}}, False),
            ({"left": {"name": "tree"}}, False),
        ],
    )
    def test_keeps_what_a_schema_refers_to_within_that_schema(
        self, arguments: Any, fits: bool
    ) -> None:
        other = {**TREE, "$defs": {"leaf": {"const": "Rome"}}}
        form = form_of_calls(tools(tree=TREE, other=other), parallel=True)
        call = json.dumps([{"name": "tree", "parameters": arguments}])
        assert takes(form.json, call) is fits

    def test_has_one_call_where_there_must_not_be_several(self) -> None:
        form = form_of_calls(tools(tree=TREE), parallel=False)
        call = '{"name": "tree", "parameters": {}}'
        assert takes(form.json, f"[{call}]")
        assert not takes(form.json, f"[{call}, {call}]")

    def test_gives_a_function_without_parameters_no_arguments(self) -> None:
        plain = Tool.model_validate({"type": "function", "function": {"name": "now"}})
        form = form_of_calls([plain], parallel=True)
        assert takes(form.json, '[{"name": "now", "parameters": {}}]')
        assert not takes(form.json, '[{"name": "now", "parameters": {"a": 1}}]')


class TestRequiredCalls:
    def test_are_read_from_a_text_at_once(self) -> None:
        assert read([TEXT]) == CALLS

    @pytest.mark.parametrize("cut", range(len(TEXT) + 1))
    def test_are_the_same_wherever_the_text_is_cut(self, cut: int) -> None:
        assert read([TEXT[:cut], TEXT[cut:]]) == CALLS

    def test_are_the_same_character_by_character(self) -> None:
        assert read(TEXT) == CALLS

    @given(st.lists(st.integers(0, len(TEXT)), max_size=20))
    @settings(deadline=None)
    def test_are_the_same_in_any_pieces(self, cuts: list[int]) -> None:
        ends = [0, *sorted(cuts), len(TEXT)]
        assert read([TEXT[a:b] for a, b in pairwise(ends)]) == CALLS

    @given(
        st.lists(st.dictionaries(st.text(max_size=3), st.text() | st.lists(st.text())), min_size=1),
        st.sampled_from([None, 1]),
    )
    @settings(deadline=None)
    def test_have_their_arguments_whatever_is_in_them(
        self, arguments: list[dict[str, Any]], indent: int | None
    ) -> None:
        calls = [{"name": "f", "parameters": each} for each in arguments]
        text = json.dumps(calls, ensure_ascii=False, indent=indent)
        assert [json.loads(found) for _, found in read(text)] == arguments

    def test_begin_with_the_name_and_go_on_without(self) -> None:
        reader = RequiredCalls()
        assert reader.read('[{"name": "f", "para') == Said()
        assert reader.read('meters": {"a"').calls == [CallPiece(0, '{"a"', "f")]
        assert reader.read(": 1}}, ").calls == [CallPiece(0, ": 1}")]

    def test_that_are_cut_off_have_what_there_is_of_them(self) -> None:
        assert read([TEXT[:45]]) == [("weather", '{"city": "')]

    def test_come_through_any_amount_of_whitespace(self) -> None:
        reader = RequiredCalls()
        reader.read("[")
        for _ in range(10_000):
            assert not reader.read(" \n\t" * 10)
        assert len(reader._before) < 10
        assert reader.read('{"name": "f", "parameters": {}}]').calls == [CallPiece(0, "{}", "f")]


class Thinks:
    """Takes what stands before a bar for thoughts."""

    only_content_follows = False
    reasoning_tokens = 7

    def read(self, text: str, token_ids: list[int], *, last: bool) -> Said:
        thought, bar, content = text.partition("|")
        return Said(thought, content) if bar else Said(content=text)

    def read_whole(self, text: str, token_ids: list[int]) -> Said:
        return self.read(text, token_ids, last=True)


class TestBehindThoughts:
    def test_calls_are_read_from_what_is_no_thought(self) -> None:
        reader = ForcedCalls(NamedCall("f"), Thinks())
        assert reader.read("[{|", [1], last=False) == Said(reasoning="[{")
        assert reader.read('{"a"', [1], last=False).calls == [CallPiece(0, '{"a"', "f")]
        assert reader.read(": 1}", [1], last=True).calls == [CallPiece(0, ": 1}")]
        assert reader.reasoning_tokens == 7

    def test_a_whole_answer_is_told_apart_as_well(self) -> None:
        said = ForcedCalls(RequiredCalls(), Thinks()).read_whole("Hm|" + TEXT, [1])
        assert said.reasoning == "Hm"
        assert [(call.name, call.arguments) for call in said.calls] == CALLS

    def test_nothing_is_called_before_they_end(self) -> None:
        assert ForcedCalls(NamedCall("f"), Thinks()).read("Hm|", [1], last=True).calls == []
