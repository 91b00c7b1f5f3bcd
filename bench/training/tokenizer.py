"""The tokenizer of the embedded model: byte-level BPE, trained on what the tasks say.

What is copied must look the same wherever it stands, or a small model cannot copy it. So a capital
begins a token of its own, whatever is before it ("Ann" after a space and after a quotation mark),
and each digit is one token. A word in small letters takes the space before it along.
"""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

BOS, EOS, END = "<|bos|>", "<|eos|>", "<|end|>"
SPECIAL = (BOS, EOS, "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", END)
"""Not text: left out of what the model says. Their ids are their places here."""
TOOL_CALL = ("<tool_call>", "</tool_call>")
"""Single tokens, too, but a parser of calls has to see them."""
VOCABULARY = 2048

_PIECES = "|".join(
    (
        r" ?\p{Ll}+",
        r"\p{Lu}\p{Ll}*",
        r"\p{Lo}+",  # Chinese
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+",
        r"\s+",
    )
)


def train(texts: Iterable[str], size: int = VOCABULARY) -> Tokenizer:
    """Any text goes through it and comes back unchanged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(TOOL_CALL),
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(list(TOOL_CALL))
    if tokenizer.get_vocab_size() != size:
        raise ValueError(f"the texts are too short for {size} tokens")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer
