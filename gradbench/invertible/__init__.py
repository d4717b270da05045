"""The reversible engine: invertible modules, chains of them as one autograd node, and couplings."""

from gradbench.invertible.activation import InvertibleLeakyReLU
from gradbench.invertible.batchnorm import InvertibleBatchNorm
from gradbench.invertible.chain import Chain, rebuilding, storing
from gradbench.invertible.coupling import AdditiveCoupling, SplitConvolution
from gradbench.invertible.gradients import Gradients
from gradbench.invertible.layers import LayerInfo, layers
from gradbench.invertible.protocol import Invertible
from gradbench.invertible.rearrangement import BatchPooling, ChannelPooling, JoinChannels, SplitChannels
from gradbench.invertible.smooth import InvertibleSmoothLeakyReLU
from gradbench.invertible.state import LayerError, Memo, State
from gradbench.invertible.watch import watch_rebuilt

__all__ = [
    "AdditiveCoupling",
    "BatchPooling",
    "Chain",
    "ChannelPooling",
    "Gradients",
    "Invertible",
    "InvertibleBatchNorm",
    "InvertibleLeakyReLU",
    "InvertibleSmoothLeakyReLU",
    "JoinChannels",
    "LayerError",
    "LayerInfo",
    "Memo",
    "SplitChannels",
    "SplitConvolution",
    "State",
    "layers",
    "rebuilding",
    "storing",
    "watch_rebuilt",
]
