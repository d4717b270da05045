"""Methods with known faults, as torch ships them, and small networks that show each: tables of names only.

A case may name them; no list shows them, since nobody should train with them.
"""

from gradbench.registry import Entry

__all__ = ["METHODS", "NETWORKS"]

METHODS = {
    "torch-checkpoint": Entry(
        "gradbench.faulty.methods:TorchCheckpoint",
        "torch.utils.checkpoint around each block but the last, as it comes",
        "torch.utils.checkpoint with use_reentrant=False",
    ),
    "torch-checkpoint-reentrant": Entry(
        "gradbench.faulty.methods:ReentrantCheckpoint",
        "the reentrant variant of the same",
        "torch.utils.checkpoint with use_reentrant=True",
    ),
    "torch-compile-budget": Entry(
        "gradbench.faulty.methods:CompileBudget",
        "torch.compile that may keep K percent of the activations",
        "torch._functorch.config.activation_memory_budget",
        argument="percent",
        allowed=(0, 50, 100),
    ),
}

NETWORKS = {
    "with-batch-norm": Entry(
        "gradbench.faulty.networks:WithBatchNorm", "blocks of convolution, batch norm and ReLU", defaults={"depth": 2}
    ),
    "with-dropout": Entry(
        "gradbench.faulty.networks:WithDropout", "blocks of convolution, ReLU and dropout", defaults={"depth": 2}
    ),
    "with-rrelu": Entry(
        "gradbench.faulty.networks:WithRReLU", "blocks of convolution and randomized leaky ReLU", defaults={"depth": 2}
    ),
}
