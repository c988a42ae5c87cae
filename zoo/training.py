"""Trains one LoRA: PEFT's own modules, loss on the target and the end token alone."""

import math
import random
from dataclasses import dataclass

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

from base import frame
from rows import DataError


@dataclass(frozen=True)
class Settings:
    rank: int = 8
    alpha: int = 16
    rslora: bool = False
    targets: tuple = ("q_proj", "v_proj")
    # The first layer and the one after the last; None for all.
    layers: tuple | None = None
    rate: float = 2e-3
    steps: int = 60
    batch: int = 4
    # This share of the rows, the shortest: long ones take most of the time.
    shortest: float = 1.0
    # Longer prompts are left out, longer targets are cut.
    max_prompt_tokens: int = 512
    max_target_tokens: int = 128
    seed: int = 1


@dataclass(frozen=True)
class Trained:
    # For adapter_config.json.
    config: dict
    # float16, by PEFT's names.
    weights: dict
    losses: list
    rows: int
    left_out: int


def train(base, rows, settings, tell=lambda step, loss: None):
    """Trains on rows of (prompt, target), and leaves the base as it was. The same seed and threads, the same weights."""
    torch.manual_seed(settings.seed)
    torch.use_deterministic_algorithms(True)
    encoded = [encode(base.tokenizer, row, settings) for row in rows]
    fitting = [row for row in encoded if len(row[0]) <= settings.max_prompt_tokens]
    if not fitting:
        raise DataError(f"no prompt has {settings.max_prompt_tokens} tokens or fewer: --max-prompt-tokens allows more")
    used = sorted(fitting, key=lambda row: len(row[0]) + len(row[1]))
    if settings.shortest < 1:
        used = used[: max(min(100, len(used)), int(settings.shortest * len(used)))]
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        use_rslora=settings.rslora,
        target_modules=sorted(settings.targets),
        layers_to_transform=None if settings.layers is None else list(range(*settings.layers)),
    )
    try:
        model = get_peft_model(base.model, config)
    except ValueError as error:
        raise DataError(f"the base cannot have this adapter: {error}") from error
    try:
        losses = list(steps(model, used, settings, pad_of(base.tokenizer), tell))
        state = get_peft_model_state_dict(model, save_embedding_layers=False)
        weights = {name: tensor.detach().half().contiguous() for name, tensor in state.items()}
    finally:
        model.unload()
        # What is left on the base would make the next adapter of this process a second one.
        if hasattr(base.model, "peft_config"):
            del base.model.peft_config
    bad = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if bad or not all(map(math.isfinite, losses)):
        raise DataError("training diverged: the weights are not finite; a lower --rate helps")
    return Trained(config_of(config, base.name), weights, losses, len(used), len(rows) - len(fitting))


def encode(tokenizer, row, settings):
    """(ids of the framed prompt, ids of the target and the end token)."""
    prompt, target = row
    tail = tokenizer(target, add_special_tokens=False).input_ids[: settings.max_target_tokens]
    return frame(tokenizer, prompt), [*tail, tokenizer.eos_token_id]


def pad_of(tokenizer):
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def steps(model, rows, settings, pad, tell):
    """The loss of each step. AdamW; the rate warms up over a tenth of the steps, then falls as a cosine."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=settings.rate, betas=(0.9, 0.99), weight_decay=0.0)
    stream = batches(rows, settings.batch, random.Random(settings.seed))
    model.train()
    for step in range(settings.steps):
        warm = min((step + 1) / max(1, 0.1 * settings.steps), 1)
        cosine = max(0.02, 0.5 * (1 + math.cos(math.pi * step / settings.steps)))
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * warm * cosine
        loss = loss_of(model.get_base_model(), **collate(next(stream), pad))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        tell(step + 1, loss.item())
        yield loss.item()
    model.eval()


def loss_of(model, labels, **inputs):
    """The mean over labelled tokens; the vocabulary's scores are computed for these alone, a fifth of the time saved."""
    states = model.base_model(**inputs).last_hidden_state[:, :-1]
    labels = labels[:, 1:]
    wanted = labels != -100
    return torch.nn.functional.cross_entropy(model.get_output_embeddings()(states[wanted]), labels[wanted])


def batches(rows, size, rng):
    """Endless batches in random order; rows of near length together, so that little is padding."""
    while True:
        order = list(range(len(rows)))
        rng.shuffle(order)
        found = []
        for start in range(0, len(order), size * 8):
            pool = sorted(order[start : start + size * 8], key=lambda index: len(rows[index][0]))
            found += [pool[at : at + size] for at in range(0, len(pool), size)]
        rng.shuffle(found)
        for batch in found:
            yield [rows[index] for index in batch]


def collate(batch, pad):
    width = max(len(head) + len(tail) for head, tail in batch)
    ids = torch.full((len(batch), width), pad)
    mask = torch.zeros(len(batch), width, dtype=torch.long)
    labels = torch.full((len(batch), width), -100)
    for row, (head, tail) in enumerate(batch):
        length = len(head) + len(tail)
        ids[row, :length] = torch.tensor(head + tail)
        mask[row, :length] = 1
        labels[row, len(head) : length] = torch.tensor(tail)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def config_of(config, base_name):
    """What PEFT writes, in an order that is the same each time."""
    values = config.to_dict()
    values.update(base_model_name_or_path=base_name, inference_mode=True)
    plain = {name: sorted(value) if isinstance(value, set) else value for name, value in values.items()}
    return {name: getattr(plain[name], "value", plain[name]) for name in sorted(plain)}
