"""A question, and the form and the tool of an answer that a model of random weights can give."""

from typing import Literal

import openai
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionNamedToolChoiceParam
from pydantic import BaseModel


class Weather(BaseModel):
    """Something that even such a model can say in a few tokens."""

    city: Literal["Rome", "Oslo"]
    rainy: bool


QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How is the weather?"}]
WEATHER_TOOL = openai.pydantic_function_tool(Weather, name="get_weather")
GET_WEATHER: ChatCompletionNamedToolChoiceParam = {
    "type": "function",
    "function": {"name": "get_weather"},
}
