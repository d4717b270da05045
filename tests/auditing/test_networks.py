"""Audits of models that others wrote, in training mode: exact methods are exact, and nothing innocent is accused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradbench
from tests.auditing.networks import Transformer, UNet

STRATEGIES = ["checkpoint", "approximate:4", "saved-cast:bf16", "reconstruct"]


def audited(model: nn.Module, loss: Callable[..., Tensor], batches: list[Any]) -> Any:
    torch.manual_seed(0)
    found = gradbench.audit(model, loss, batches, STRATEGIES, cost=False, truth_batches=0)
    # A part of an exact method that another order of sums may round is not its fault; all else has the same bits.
    assert found.verdicts["checkpoint"] in ("exact", "excluded")
    assert found.verdicts["reconstruct"] == "excluded"
    assert "no invertible chain" in found.reasons["reconstruct"]
    assert found.verdicts["saved-cast:bf16"] not in ("broken", "harmful", "error")
    assert found.verdicts["approximate:4"] not in ("broken", "error")
    assert found.faults.empty, found.faults.to_dict("records")
    return found


def images(size: int, count: int = 2, channels: int = 3) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(2, channels, size, size), torch.randint(10, (2,))) for _ in range(count)]


def of_torchvision(name: str) -> nn.Module:
    """A network of torchvision; the two largest with fewer and narrower layers of the same classes."""
    models = pytest.importorskip("torchvision.models", exc_type=(ImportError, RuntimeError))
    torch.manual_seed(0)
    if name == "convnext":
        blocks = [models.convnext.CNBlockConfig(8, 16, 2), models.convnext.CNBlockConfig(16, None, 2)]
        return models.ConvNeXt(blocks, stochastic_depth_prob=0.3, num_classes=10)
    if name == "vit":
        model = models.VisionTransformer(32, 16, 2, 2, 32, 64, dropout=0.1, attention_dropout=0.1, num_classes=10)
        nn.init.normal_(model.heads.head.weight, 0, 0.1)  # it begins with zeros, which let no gradient through
        return model
    return getattr(models, name)(num_classes=10)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext", "vit"])
def test_torchvision(name: str) -> None:
    found = audited(of_torchvision(name).train(), F.cross_entropy, images(32))
    random = found.state[(found.state["strategy"] == "stored") & (found.state["check"] == "masks")]
    assert random["outcome"].item() == ("not applicable" if name == "resnet18" else "exact")


def test_a_u_net() -> None:
    batches = [(torch.randn(4, 3, 16, 16), torch.randint(3, (4, 16, 16))) for _ in range(3)]
    audited(UNet(), lambda output, target: F.cross_entropy(output["out"], target), batches)


def test_a_transformer() -> None:
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    tokens = [torch.randint(11, (4, 7)) for _ in range(3)]
    batches = [({"tokens": one[:, :-1], "mask": mask}, one[:, 1:]) for one in tokens]
    audited(Transformer(), lambda output, target: F.cross_entropy(output.flatten(0, 1), target.flatten()), batches)
