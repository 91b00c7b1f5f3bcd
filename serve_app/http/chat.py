"""POST /v1/chat/completions"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from deployments.speech import Reader
from serve_app.http.answer import respond
from serve_app.http.auth import client_of
from serve_app.http.body import read
from serve_app.http.chat_answer import ChatAnswer, ToolCallAnswer
from serve_app.http.chat_request import ChatRequest
from serve_app.http.generation import plan
from serve_app.http.hearing import Hearing
from serve_app.http.record import record_of
from serve_app.http.rendering import render
from serve_app.http.service import Service
from serve_app.http.spoken import SpokenAnswer
from serve_app.http.tasks import GENERATE, facts_for, reach


async def create_chat_completion(request: Request) -> Response:
    """Answer a conversation, whole or as a stream."""
    service: Service = request.app.state.service
    chat = await read(request, ChatRequest)
    await reach(request, chat.model)
    facts = facts_for(service, chat.model, GENERATE)  # other models are refused before any work
    hearing = Hearing(service.parsing(chat.model), chat)
    prompt = await render(service, chat.model, chat)
    record_of(request).rendered_at = service.router.now()
    prompt = chat.shortened(prompt, facts["max_model_len"])
    sequences = plan(service, chat, [prompt], "messages")
    kwargs = service.tokenizing(chat.model).all_kwargs(chat.template_kwargs)
    if chat.choice == "auto" and chat.form_of_content is not None:
        # The parser makes it ready, as a part of another: it must not be one that explodes.
        tenant = client_of(request).tenant
        await service.forms.check(chat.form_of_content, tenant, chat.form_field)
    await hearing.prepare(prompt, kwargs)
    answer = answer_to(chat, prompt, hearing.readers(), reasons=hearing.reasons)
    return await respond(request, hearing.shaped(sequences), answer)


def answer_to(
    chat: ChatRequest, prompt: list[int], readers: Sequence[Reader] = (), *, reasons: bool = False
) -> ChatAnswer:
    """What writes the answer down: as text, as the call that was asked for, or as it is read."""
    if readers:
        return SpokenAnswer(chat, prompt, readers, reasons=reasons)
    function = chat.function
    return ChatAnswer(chat, prompt) if function is None else ToolCallAnswer(chat, prompt, function)
