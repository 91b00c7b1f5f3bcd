"""What a model's chat template gets."""

from pathlib import Path
from typing import Any

import pytest

from deployments import default_model
from deployments.chat_template import ChatTemplate, ContentFormat, Message
from deployments.errors import BadRequest

LINES = "{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}"
PARTS = (
    "{% for m in messages %}{{ m.role }}:{% for part in m.content %} [{{ part.text }}]"
    "{% endfor %};{% endfor %}"
)
EITHER = (
    "{% for m in messages %}{{ m.role }}: {% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %};{% endfor %}"
)
TWO_PARTS = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    cache: Path = tmp_path_factory.mktemp("cache")
    return AutoTokenizer.from_pretrained(default_model.ensure("sluice-small", cache_dir=cache))


@pytest.fixture
def template(tokenizer: Any) -> Any:
    def make(source: str | None, content_format: ContentFormat = "auto") -> ChatTemplate:
        return ChatTemplate(tokenizer, source, content_format)

    return make


class TestContent:
    @pytest.mark.parametrize(
        ("source", "text"),
        [
            (LINES, "system: Be brief.\nBe kind.;user: Hi;"),
            (PARTS, "system: [Be brief.] [Be kind.];user: [Hi];"),
            (EITHER, "system: Be brief.Be kind.;user: Hi;"),
        ],
        ids=["strings", "parts", "either"],
    )
    def test_comes_in_the_form_that_the_template_takes(
        self, template: Any, source: str, text: str
    ) -> None:
        messages = [{"role": "system", "content": TWO_PARTS}, {"role": "user", "content": "Hi"}]
        assert template(source).render(messages) == text

    def test_comes_in_the_form_that_the_configuration_says(self, template: Any) -> None:
        messages = [{"role": "user", "content": TWO_PARTS}]
        assert template(EITHER, "string").render(messages) == "user: Be brief.\nBe kind.;"
        assert "'text': 'Be brief.'" in template(LINES, "openai").render(messages)

    def test_of_a_tool_is_always_a_string(self, template: Any) -> None:
        messages = [{"role": "tool", "content": TWO_PARTS, "tool_call_id": "1"}]
        assert template(EITHER).render(messages) == "tool: Be brief.\nBe kind.;"

    def test_may_be_something_that_the_template_refuses(self, template: Any) -> None:
        refusing = template("{{ raise_exception('not today') }}")
        with pytest.raises(BadRequest, match="not today") as caught:
            refusing.render([{"role": "user", "content": "Hi"}])
        assert caught.value.param == "messages"


class TestDevelopers:
    MESSAGES: tuple[Message, ...] = (
        {"role": "system", "content": "One"},
        {"role": "user", "content": "Hi"},
        {"role": "developer", "content": "Two"},
        {"role": "user", "content": "Ho"},
    )

    def test_are_known_to_some_templates(self, template: Any) -> None:
        known = template(LINES + "{# 'developer' #}")
        text = known.render(self.MESSAGES)
        assert text == "system: One;user: Hi;developer: Two;user: Ho;"

    def test_speak_for_the_system_elsewhere_and_first(self, template: Any) -> None:
        assert template(LINES).render(self.MESSAGES) == "system: One\n\nTwo;user: Hi;user: Ho;"

    @pytest.mark.parametrize("order", [(2, 1), (1, 2)])
    def test_may_be_the_only_ones_who_do(self, template: Any, order: tuple[int, int]) -> None:
        messages = [self.MESSAGES[i] for i in order]
        assert template(LINES).render(messages) == "system: Two;user: Hi;"

    def test_change_nothing_where_there_are_none(self, template: Any) -> None:
        messages = [self.MESSAGES[i] for i in (1, 0)]
        assert template(LINES).render(messages) == "user: Hi;system: One;"


class TestVariables:
    def test_are_those_that_the_request_gives(self, template: Any) -> None:
        source = "{{ mood }} {{ documents[0].text }} {{ tools[0].name }}"
        text = template(source).render(
            [{"role": "user", "content": "Hi"}],
            kwargs={"mood": "gay"},
            documents=[{"text": "of old"}],
            tools=[{"name": "weather"}],
        )
        assert text == "gay of old weather"

    def test_are_seen_when_the_template_names_them(self, template: Any) -> None:
        seen = template("{% if enable_thinking %}{{ thinking_hard }}{% endif %}")
        assert seen.mentions("enable_thinking")
        assert not seen.mentions("thinking")
        assert not seen.mentions("mood")

    def test_are_those_of_all_templates_of_a_model_that_has_several(self) -> None:
        class Tokenizer:
            chat_template = {"default": "{{ a }}", "tool_use": "{{ b }}"}  # noqa: RUF012

            def apply_chat_template(self, *_: Any, **__: Any) -> str:
                return ""

        several = ChatTemplate(Tokenizer())
        assert several.mentions("a")
        assert several.mentions("b")


def test_a_model_without_a_template_has_no_chat() -> None:
    class Tokenizer:
        chat_template = None

        def apply_chat_template(self, *_: Any, **__: Any) -> str:
            raise ValueError("no template")

    with pytest.raises(BadRequest, match="no chat template") as caught:
        ChatTemplate(Tokenizer()).render([{"role": "user", "content": "Hi"}])
    assert caught.value.param == "model"
