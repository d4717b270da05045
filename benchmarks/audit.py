"""Audits of networks that know nothing of gradbench, at their real sizes: verdicts, memory, and how long they take.

Torchvision's ResNet-18, MobileNet-V3 small, ConvNeXt-tiny and ViT-B/16 with random weights on random images, a U-Net
with random masks and a small transformer on random tokens, all in training mode with their dropout and dropped paths:

    python -m benchmarks.audit                      # on the GPU if there is one, else the CPU with smaller batches
    python -m benchmarks.audit --networks resnet18 vit_b_16 --strategies checkpoint stochastic:4

Float32 without TF32. Time and kept memory are those of one step over those of stored training; `seconds` is what the
whole audit took.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradbench
from benchmarks.output import table, write
from gradbench.measure.precision import use_plain_float32
from tests.auditing.networks import Transformer, UNet

STRATEGIES = ("checkpoint", "selective-checkpoint", "saved-cast:bf16", "approximate:4", "stochastic:4", "offload")
CLASSES, WORDS, TOKENS = 1000, 1000, 64


@dataclass(frozen=True)
class Subject:
    """A network to audit: how it is made, its loss, and one minibatch of so many examples."""

    build: Callable[[], nn.Module]
    loss: Callable[..., Tensor]
    batch: Callable[[int], tuple[Any, Tensor]]


def _images(count: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 3, 224, 224), torch.randint(CLASSES, (count,))


def _masks(count: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 3, 128, 128), torch.randint(3, (count, 128, 128))


def _sentences(count: int) -> tuple[dict[str, Tensor], Tensor]:
    words = torch.randint(WORDS, (count, TOKENS + 1))
    return {"tokens": words[:, :-1], "mask": nn.Transformer.generate_square_subsequent_mask(TOKENS)}, words[:, 1:]


def _of_torchvision(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision import models

        model = getattr(models, name)(num_classes=CLASSES)
        if name == "vit_b_16":
            nn.init.normal_(model.heads.head.weight, 0, 0.02)  # it begins with zeros, which let no gradient through
        return model

    return build


SUBJECTS = {
    **{
        name: Subject(_of_torchvision(name), F.cross_entropy, _images)
        for name in ("resnet18", "mobilenet_v3_small", "convnext_tiny", "vit_b_16")
    },
    "unet": Subject(lambda: UNet(width=32), lambda output, target: F.cross_entropy(output["out"], target), _masks),
    "transformer": Subject(
        lambda: Transformer(WORDS, 256),
        lambda output, target: F.cross_entropy(output.flatten(0, 1), target.flatten()),
        _sentences,
    ),
}


def audited(name: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row for each strategy."""
    subject = SUBJECTS[name]
    torch.manual_seed(0)
    model = subject.build().to(options.device).train()
    batches = [_moved(subject.batch(options.batch_size), options.device) for _ in range(options.minibatches)]
    found = gradbench.audit(model, subject.loss, batches, options.strategies)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    for row in found.summary.to_dict("records"):
        reason = found.reasons.get(row["strategy"], "")
        yield {"network": name, "parameters (M)": millions, **row, "seconds": found.seconds, "reason": reason}


def _moved(value: Any, device: str) -> Any:
    if isinstance(value, dict):
        return {key: _moved(part, device) for key, part in value.items()}
    return tuple(_moved(part, device) for part in value) if isinstance(value, tuple) else value.to(device)


def main() -> None:
    """Audit one network after the other, print as Markdown while it goes, and write Markdown and CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minibatches", type=int, default=8)
    parser.add_argument("--batch-size", type=int, help="32 on a GPU, 4 on a CPU")
    parser.add_argument("--out", type=Path, help="write OUT.md and OUT.csv")
    options = parser.parse_args()
    options.batch_size = options.batch_size or (32 if options.device == "cuda" else 4)
    use_plain_float32()
    rows: list[dict[str, Any]] = []
    for name in options.networks:
        new = list(audited(name, options))
        rows += new
        print(*table(pd.DataFrame(new))[0 if rows == new else 2 :], sep="\n", flush=True)
        if options.out:
            frame = pd.DataFrame(rows)
            what = f"{options.minibatches} minibatches of {options.batch_size}"
            write(options.out, "Audits of networks at their real sizes", options.device, frame, [(what, frame)])


if __name__ == "__main__":
    main()
