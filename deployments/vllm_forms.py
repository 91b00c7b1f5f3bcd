"""What an answer has to look like, in vLLM's words.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0.
"""

from vllm.sampling_params import StructuredOutputsParams

from deployments.messages import StructuredOutputs


def form_params(form: StructuredOutputs) -> StructuredOutputsParams:
    """The same for vLLM, where what is not None counts as given."""
    return StructuredOutputsParams(
        json=form.json,
        json_object=form.json_object or None,
        structural_tag=form.structural_tag,
        regex=form.regex,
        choice=form.choice and list(form.choice),
        grammar=form.grammar,
    )
