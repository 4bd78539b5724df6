"""Tests of the tokenizer: fixed rows, determinism, agreement with CLIP's own."""

from pathlib import Path

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from unclip_models.text import Text, Tokenizer
from unclip_pairs.errors import UserError

CAPTIONS = ["a red apple in the noto style", "a green pear, twemoji", "an icon of a blue ball: fluent flat"] * 3


def test_rows_have_the_context_and_end_with_the_highest_id() -> None:
    tokenizer = Tokenizer.train(CAPTIONS, vocab_size=300, context=10)
    rows = tokenizer.encode(["A red apple", "", "apple " * 40])
    assert rows.shape == (3, 10) and rows.dtype == torch.long
    assert rows.max(dim=1).values.tolist() == [tokenizer.vocab_size - 1] * 3
    assert rows[:, 0].tolist() == [1, 1, 1] and rows[2, -1] == tokenizer.vocab_size - 1
    assert tokenizer.vocab_size <= 300


def test_case_does_not_matter_and_any_script_can_be_written() -> None:
    tokenizer = Tokenizer.train(CAPTIONS, vocab_size=300, context=16)
    assert torch.equal(tokenizer.encode(["A RED Apple"]), tokenizer.encode(["a red apple"]))
    assert not torch.equal(tokenizer.encode(["Ω"]), tokenizer.encode(["Ж"]))


def test_the_same_captions_in_any_order_give_the_same_file(tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("first.json", "second.json"))
    Tokenizer.train(CAPTIONS, vocab_size=320, context=12).save(first)
    Tokenizer.train(reversed(CAPTIONS), vocab_size=320, context=12).save(second)
    assert first.read_bytes() == second.read_bytes()


def test_a_saved_tokenizer_reads_as_before(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(CAPTIONS, vocab_size=300, context=12)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert torch.equal(loaded.encode(CAPTIONS), tokenizer.encode(CAPTIONS))
    assert (loaded.context, loaded.vocab_size) == (tokenizer.context, tokenizer.vocab_size)


@pytest.mark.parametrize("content", ["", "{}", '{"version": "1.0"}'])
def test_a_broken_tokenizer_file_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path / "tokenizer.json")


def test_the_paper_tokenizer_is_clips_own() -> None:
    sentences = ["a photo of a cat", "Hello, World!  it's 42 dogs, 7.5% off", "naïve café 😀 " * 40, "red-haired woman's hat"]
    assert torch.equal(Tokenizer.clip(77).encode(sentences), SimpleTokenizer()(sentences))


def test_text_is_repeated_whole() -> None:
    text = Text(torch.tensor([[1], [2]]), torch.eye(2), torch.zeros(2, 1, 3))
    assert text.repeat(2).tokens_BS.flatten().tolist() == [1, 2, 1, 2]
    assert text.select(torch.tensor([False, True])).tokens_BS.flatten().tolist() == [2]
