"""The base model in PyTorch: the very file that lorastream answers with, widened to float32."""

import pathlib
import warnings
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from rows import DataError, digest_of

DEMO_BASE = pathlib.Path(__file__).parent.parent / "models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True)
class Base:
    name: str
    # As a completion's `provenance.base.digest` has it.
    digest: str
    model: torch.nn.Module
    tokenizer: object


def open_base(path):
    """Opens a .gguf file or a Hugging Face directory. The 4-bit demo base is trained as it answers: 4-bit, widened."""
    path = pathlib.Path(path)
    if not path.exists():
        hint = " (npm -s start -- models pull fetches it)" if path == DEMO_BASE else ""
        raise DataError(f"{path}: no base model{hint}")
    logging.set_verbosity_error()
    # What a release of transformers thinks of another is no news to who trains an adapter.
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.disable_progress_bar()
    if path.is_file():
        directory, files, options = path.parent, [path], {"gguf_file": path.name}
    else:
        directory, files, options = path, [path / "config.json", *sorted(path.glob("*.safetensors"))], {}
    tokenizer = AutoTokenizer.from_pretrained(directory, **options)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, **options)
    model.requires_grad_(False)
    return Base(path.stem if path.is_file() else path.name, digest_of(*files), model, tokenizer)


def frame(tokenizer, prompt):
    """A prompt as lorastream gives it to the base: in its chat template, or as it is when the base has none."""
    if tokenizer.chat_template is None:
        return tokenizer(prompt).input_ids
    messages = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False).input_ids
