"""One of two processes that train together. Run by a test, with rank, meeting file and device."""

from __future__ import annotations

import copy
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch.distributed import destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel

from gradbench.measure.precision import use_plain_float32
from gradbench.strategies import STRATEGIES
from tests.models.networks import images, loss
from tests.strategies.subjects import relative, step, subject

__all__ = ["train"]

#: Model, strategy, and whether parameters that got no gradient are looked for.
CHECKED = [
    ("revnet", "reconstruct", False),
    ("layerwise", "reconstruct", True),
    ("hybrid", "reconstruct", False),
    ("hybrid", "reconstruct", True),
    ("hybrid", "checkpoint", True),
    ("hybrid", "inplace-abn", True),
]


def train(rank: int, meeting: Path) -> None:
    """Compare the gradients of this process and the other with stored ones."""
    minute = timedelta(minutes=1)
    init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=minute)
    try:
        for name, spec, find_unused in CHECKED:
            _compare(name, spec, rank, find_unused)
    finally:
        destroy_process_group()


def _compare(name: str, spec: str, rank: int, find_unused: bool) -> None:
    """Hold the gradients against the mean of stored passes on both processes' images."""
    torch.manual_seed(7)
    model = subject(name, 2).double()
    batches = [images(4)[0], images(4)[0]]
    parts = [step(copy.deepcopy(model), STRATEGIES.create("stored"), x) for x in batches]
    mean = {key: (parts[0][key] + parts[1][key]) / 2 for key in parts[0]}  # type: ignore[operator]
    parallel = DistributedDataParallel(model, find_unused_parameters=find_unused)
    with STRATEGIES.create(spec).applied_to(model):
        loss(parallel(batches[rank])).backward()
    error = relative({key: parameter.grad for key, parameter in model.named_parameters()}, mean)
    assert error < 1e-9, (name, spec, find_unused, error)


if __name__ == "__main__":
    torch.set_default_device(sys.argv[3])
    use_plain_float32()
    train(int(sys.argv[1]), Path(sys.argv[2]))
