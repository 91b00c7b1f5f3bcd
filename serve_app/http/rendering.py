"""From a conversation to the prompt that its model's chat template makes of it."""

from deployments.errors import BadRequest
from deployments.speech import PARSERS_VARIABLES
from serve_app.http.conversation import Conversation
from serve_app.http.parsing import UNSUPPORTED_PARAMETER
from serve_app.http.service import Service


async def render(service: Service, model: str, conversation: Conversation) -> list[int]:
    """The prompt; raises BadRequest for what the template will not have, or would not see."""
    tokenizing = service.tokenizing(model)
    unseen = [name for name in conversation.template_kwargs if not _is_seen(service, model, name)]
    _refuse_unseen(conversation, unseen)
    documents = conversation.documents_for_template
    if documents and not tokenizing.mentions("documents"):
        raise _not_for("documents")
    kwargs = {k: v for k, v in conversation.template_kwargs.items() if k not in unseen}
    return await tokenizing.chat(
        conversation.messages_for_template,
        tools=conversation.tools_for_template,
        documents=documents,
        kwargs=kwargs,
        add_generation_prompt=conversation.opens_answer,
        continue_final_message=conversation.continue_final_message,
        add_special_tokens=bool(conversation.add_special_tokens),
    )


def _is_seen(service: Service, model: str, variable: str) -> bool:
    if service.tokenizing(model).mentions(variable):
        return True
    # How a model thinks may depend on it, and so how it is read.
    return service.parsing(model) is not None and variable in PARSERS_VARIABLES


def _refuse_unseen(conversation: Conversation, unseen: list[str]) -> None:
    for name in conversation.chat_template_kwargs or ():
        if name in unseen:
            raise _not_for(f"chat_template_kwargs.{name}")
    # An effort is told in two ways, of which most templates know one.
    told = conversation.template_kwargs.keys() - (conversation.chat_template_kwargs or {}).keys()
    if told and told <= set(unseen):
        raise _not_for("reasoning_effort")


def _not_for(param: str) -> BadRequest:
    return BadRequest(
        f"'{param}' is not supported by this model: its chat template would not see it.",
        param=param,
        code=UNSUPPORTED_PARAMETER,
    )
