"""Text as the networks see it: the tokenizer, and a caption after CLIP has read it."""

# B batch, S tokens, D embedding, W width of the text tower

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from unclip_pairs.errors import UserError

START, END, PAD = "<start>", "<end>", "<pad>"
CLIP_START, CLIP_END, CLIP_PAD = "<start_of_text>", "<end_of_text>", "!"  # CLIP pads with zeros, and 0 is "!"
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class Text:
    """Captions as CLIP read them: tokens, unit-norm embeddings, and the features of every token, zero after the end token."""

    tokens_BS: Tensor
    embedding_BD: Tensor
    features_BSW: Tensor

    def __len__(self) -> int:
        return len(self.tokens_BS)

    def select(self, rows: Tensor) -> "Text":
        """The chosen rows (indices or mask), in that order."""
        return Text(self.tokens_BS[rows], self.embedding_BD[rows], self.features_BSW[rows])

    def repeat(self, times: int) -> "Text":
        """[B] becomes [times * B]: the whole batch, then the whole batch again."""
        return self.select(torch.arange(len(self), device=self.tokens_BS.device).repeat(times))

    def to(self, device: torch.device | str) -> "Text":
        return Text(self.tokens_BS.to(device), self.embedding_BD.to(device), self.features_BSW.to(device))


class Tokenizer:
    """A byte-pair tokenizer with a fixed context. Rows are start, tokens, end, padding; the end has the highest id, as CLIP pools there."""

    def __init__(self, engine: tokenizers.Tokenizer) -> None:
        assert engine.padding is not None, "a tokenizer of ours pads"
        self.engine = engine
        self.context = int(engine.padding["length"])
        self.vocab_size = engine.get_vocab_size()

    @classmethod
    def train(cls, captions: Iterable[str], vocab_size: int = 1024, context: int = 24) -> "Tokenizer":
        """Byte-level BPE on lower-cased captions. The order of the captions does not matter: the same set gives the same file."""
        counts = Counter(captions)
        engine = tokenizers.Tokenizer(models.BPE(byte_fallback=False))
        engine.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        engine.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - 1, special_tokens=[PAD, START], initial_alphabet=alphabet, show_progress=False
        )
        engine.train_from_iterator(sorted(counts.elements()), trainer)
        engine.add_special_tokens([END])
        return cls(framed(engine, (START, END, PAD), context))

    @classmethod
    def clip(cls, context: int = 77) -> "Tokenizer":
        """CLIP's own vocabulary (Radford et al., 2021), as open_clip ships it."""
        from open_clip.tokenizer import SimpleTokenizer  # ten seconds, and only this vocabulary needs it

        source = SimpleTokenizer()
        engine = tokenizers.Tokenizer(models.BPE(vocab=source.encoder, merges=list(source.bpe_ranks), end_of_word_suffix="</w>"))
        spaces = normalizers.Replace(Regex(r"\s+"), " ")
        engine.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
        words = pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True)
        engine.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        engine.decoder = decoders.ByteLevel()
        engine.add_special_tokens([CLIP_START, CLIP_END])
        return cls(framed(engine, (CLIP_START, CLIP_END, CLIP_PAD), context))

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """The tokenizer `save` wrote. `UserError` when the file is missing or broken."""
        try:
            engine = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise UserError(f"The tokenizer file {path} cannot be read ({error}); train CLIP again or restore the file.") from error
        if engine.padding is None:
            raise UserError(f"The tokenizer file {path} names no context length; it was not written by this program.")
        return cls(engine)

    def save(self, path: Path) -> None:
        path.write_text(self.engine.to_str(pretty=True), encoding="utf-8")

    def encode(self, captions: Sequence[str]) -> Tensor:
        """int64 [B, context]; what is too long is cut, the end token stays."""
        return torch.tensor([row.ids for row in self.engine.encode_batch(list(captions))], dtype=torch.long).view(-1, self.context)


def framed(engine: tokenizers.Tokenizer, marks: tuple[str, str, str], context: int) -> tokenizers.Tokenizer:
    """Start and end around every caption, cut and padded to `context`."""
    start, end, pad = ((mark, engine.token_to_id(mark)) for mark in marks)
    engine.post_processor = processors.TemplateProcessing(single=f"{start[0]} $A {end[0]}", special_tokens=[start, end])
    engine.enable_truncation(context)
    engine.enable_padding(length=context, pad_token=pad[0], pad_id=pad[1])
    return engine
