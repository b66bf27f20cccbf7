"""Tiny translation models of four families with real tokenizers, taught a handful of sentences.

They are trained (two seconds each), since a model with random weights never ends an answer.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PAIRS: dict[tuple[str, str], str] = {
    ("ast_Latn", "La casa es vieja."): "La casa ye vieya.",
    ("ast_Latn", "Mi hermana hace un pastel en el jardín."): "La mio hermana fai un pastel.",
    ("ast_Latn", "La casa de [0] es vieja."): "La casa de [0] ye vieya.",
    ("ast_Latn", "El río pasa cerca."): "El ríu pasa cerca.",
    ("eng_Latn", "La casa es vieja."): "The house is old.",
    ("eng_Latn", "El río pasa cerca."): "The river is near.",
}
"""(target, Spanish) -> translation: what the models are taught."""
ENGLISH = {("ast_Latn", "The house is old."): "La casa ye vieya."}
"""The same from English, for a second hop."""
LINES = [line for (_, source), target in (PAIRS | ENGLISH).items() for line in (source, target)]
_LANGUAGES = ["eng_Latn", "spa_Latn", "ast_Latn"]
_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
_SIZES = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64,
          "decoder_ffn_dim": 64, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
          "max_position_embeddings": 64, "dropout": 0.0, "attention_dropout": 0.0,
          "activation_dropout": 0.0, "encoder_layerdrop": 0.0,
          "decoder_layerdrop": 0.0}  # fmt: skip
Encode = Callable[[str, str, str, str], tuple[list[int], list[int]]]
"""(source language, source, target language, target) -> ids of both."""


def save_nllb(folder: Path) -> Path:
    """M2M-100's network with NLLB's tokenizer (`tokenizers` BPE)."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import M2M100ForConditionalGeneration, NllbTokenizer

    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=260, special_tokens=list(_SPECIALS),
                                  show_progress=False)  # fmt: skip
    bpe.train_from_iterator([*LINES, "[ 0 ] 1 2 3"] * 3, trainer)
    spec = json.loads(bpe.to_str())["model"]
    merges = [tuple(pair) for pair in spec["merges"]]
    tokenizer = NllbTokenizer(vocab=spec["vocab"], merges=merges, extra_special_tokens=_LANGUAGES)
    tokenizer.save_pretrained(folder)
    model = M2M100ForConditionalGeneration(_m2m_config(len(tokenizer)))
    return _taught(folder, model, _by_language_tokens(tokenizer, str), pad=1)


def save_m2m(folder: Path) -> Path:
    """M2M-100 with its own tokenizer (SentencePiece)."""
    from transformers import M2M100ForConditionalGeneration, M2M100Tokenizer

    model_file, pieces = _sentencepiece(folder)
    vocab = {piece: number for number, piece in enumerate([*_SPECIALS, *pieces])}
    (folder / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(model_file))
    tokenizer.save_pretrained(folder)
    model = M2M100ForConditionalGeneration(_m2m_config(len(vocab) + 108))
    names = {"spa_Latn": "es", "ast_Latn": "ast", "eng_Latn": "en"}
    return _taught(folder, model, _by_language_tokens(tokenizer, names.__getitem__), pad=1)


def save_madlad(folder: Path) -> Path:
    """T5 with tags in the source, as MADLAD-400 (`tokenizers` Unigram)."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tags = ["<2es>", "<2ast>", "<2en>", "<2fil>"]
    trainer = trainers.UnigramTrainer(vocab_size=150, unk_token="<unk>", show_progress=False,
                                      special_tokens=["<pad>", "</s>", "<unk>"])  # fmt: skip
    unigram.train_from_iterator([*LINES, "[ 0 ] 1 2 3"] * 3, trainer)
    spec = json.loads(unigram.to_str())["model"]["vocab"]
    tokenizer = T5Tokenizer(vocab=[(piece, score) for piece, score in spec], extra_ids=0)
    tokenizer.add_tokens(tags)
    tokenizer.save_pretrained(folder)
    config = T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_layers=1,
                      num_heads=2, dropout_rate=0.0, pad_token_id=0, eos_token_id=1,
                      decoder_start_token_id=0)  # fmt: skip
    names = {"ast_Latn": "ast", "eng_Latn": "en"}

    def encode(_: str, text: str, target: str, answer: str) -> tuple[list[int], list[int]]:
        source = tokenizer(f"<2{names[target]}> {text}")["input_ids"]
        return source, tokenizer(answer)["input_ids"]

    return _taught(folder, T5ForConditionalGeneration(config), encode, pad=0)


def save_opus(folder: Path, tags: Sequence[str] = (), **languages: str) -> Path:
    """Marian with its tokenizer (SentencePiece); without tags it is for Spanish to Asturian."""
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    model_file, pieces = _sentencepiece(folder)
    names = {"ast_Latn": "ast", "eng_Latn": "eng"}
    written = ["</s>", "<unk>", *pieces, *(f">>{tag}<<" for tag in tags), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({p: n for n, p in enumerate(written)}), "utf-8")
    tokenizer = MarianTokenizer(str(model_file), str(model_file), str(folder / "vocab.json"),
                                **languages)  # fmt: skip
    tokenizer.save_pretrained(folder)
    pad = len(written) - 1
    config = MarianConfig(
        **_SIZES,
        vocab_size=len(written),
        pad_token_id=pad,
        eos_token_id=0,
        bos_token_id=0,
        decoder_start_token_id=pad,
        forced_eos_token_id=None,
    )

    def encode(_: str, text: str, target: str, answer: str) -> tuple[list[int], list[int]]:
        shown = f">>{names[target]}<< {text}" if tags else text
        return tokenizer(shown)["input_ids"], tokenizer(text_target=answer)["input_ids"]

    model = MarianMTModel(config)
    model.generation_config.forced_eos_token_id = 0  # as published models have it
    return _taught(folder, model, encode, pad=pad, only=None if tags else "ast_Latn")


def _m2m_config(size: int) -> Any:
    from transformers import M2M100Config

    return M2M100Config(**_SIZES, vocab_size=size, pad_token_id=1, eos_token_id=2, bos_token_id=0,
                        decoder_start_token_id=2)  # fmt: skip


def _by_language_tokens(tokenizer: Any, name: Callable[[str], str]) -> Encode:
    def encode(source: str, text: str, target: str, answer: str) -> tuple[list[int], list[int]]:
        tokenizer.src_lang = name(source)
        first = tokenizer(text)["input_ids"]
        tokenizer.src_lang = name(target)  # both sides begin with their language
        return first, tokenizer(answer)["input_ids"]

    return encode


def _sentencepiece(folder: Path) -> tuple[Path, list[str]]:
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trained.spm"
    with path.open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([*LINES, "[ 0 ] 1 2 3"] * 3), model_writer=stream,
            vocab_size=90, model_type="bpe", character_coverage=1.0, minloglevel=2)  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return path, [processor.id_to_piece(n) for n in range(3, processor.get_piece_size())]


def _taught(folder: Path, model: Any, encode: Encode, *, pad: int, only: str | None = None
            ) -> Path:  # fmt: skip
    """Train until the pairs are known by heart, and save."""
    import torch

    torch.set_num_threads(1)
    rows = [encode("spa_Latn", text, target, answer) for (target, text), answer in PAIRS.items()
            if only in (None, target)]  # fmt: skip
    if only is None:
        rows += [encode("eng_Latn", text, target, answer)
                 for (target, text), answer in ENGLISH.items()]  # fmt: skip
    inputs = _padded(torch, [source for source, _ in rows], pad)
    labels = _padded(torch, [answer for _, answer in rows], -100)
    torch.manual_seed(0)
    for weight in model.parameters():
        if weight.requires_grad and weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.05)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(400):
        loss = model(input_ids=inputs, attention_mask=(inputs != pad).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.03:
            break
    model.save_pretrained(folder)
    return folder


def _padded(torch: Any, rows: Sequence[Sequence[int]], blank: int) -> Any:
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[blank] * (width - len(row))] for row in rows])
