"""The networks that cases train, and one table of their names."""

from gradbench.registry import Entry, Registry

MODELS = Registry(
    "model",
    "gradbench.models",
    {
        "layerwise": Entry(
            "gradbench.models.layerwise:Layerwise",
            "a chain of invertible layers: split convolution, batch norm, leaky ReLU",
            "Hascoet et al., section 4.1",
        ),
        "hybrid": Entry(
            "gradbench.models.hybrid:Hybrid",
            "reversible blocks whose branches are invertible chains",
            "Hascoet et al., section 4.2",
        ),
    },
)
