"""The networks that cases train, and one table of their names."""

from gradbench.faulty import NETWORKS
from gradbench.registry import Entry, Registry

_BATCH_LAST = ("channel", "channel", "batch")

MODELS = Registry(
    "model",
    "gradbench.models",
    {
        "resnet": Entry(
            "gradbench.models.resnet:ResNet",
            "residual blocks and max pooling, nothing invertible: ResNet-18",
            "He et al.; Hascoet et al., Table 1",
            defaults={"depth": 8, "width": 32, "pooling": ("max", "max", "max"), "branch_layers": 2},
        ),
        "revnet": Entry(
            "gradbench.models.revnet:RevNet",
            "reversible blocks with ordinary branches; max pooling, whose inputs are stored, between the stages",
            "Gomez et al.; Hascoet et al., Table 1",
            defaults={"depth": 6, "width": 40, "pooling": ("max", "max", "max"), "branch_layers": 2},
        ),
        "irevnet": Entry(
            "gradbench.models.revnet:RevNet",
            "the same with channel pooling: reversible throughout",
            "Jacobsen et al.; Hascoet et al., Table 1",
            defaults={"depth": 6, "width": 32, "pooling": ("channel", "channel", "channel"), "branch_layers": 2},
        ),
        "layerwise": Entry(
            "gradbench.models.layerwise:Layerwise",
            "a chain of invertible layers: split convolution, batch norm, leaky ReLU",
            "Hascoet et al., section 4.1",
            defaults={"depth": 13, "width": 32, "pooling": _BATCH_LAST},
        ),
        "hybrid": Entry(
            "gradbench.models.hybrid:Hybrid",
            "reversible blocks whose branches are invertible chains",
            "Hascoet et al., section 4.2",
            defaults={"depth": 6, "width": 32, "pooling": _BATCH_LAST, "branch_layers": 2},
        ),
    },
    unlisted={
        **NETWORKS,
        "single-layer": Entry(
            "gradbench.models.single_layer:SingleLayer",
            "one invertible layer between a stem and a head, its inputs centred, scaled and symmetric about 0",
            "Hascoet et al., Figures 5 and 6",
            defaults={"depth": 1, "width": 100, "pooling": ()},
        ),
    },
)
