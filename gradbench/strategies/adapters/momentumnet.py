"""momentumnet: momentum residual networks that rebuild their activations from an exact copy of the momentum."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

from torch import nn

from gradbench.invertible import storing
from gradbench.strategies.adapters.adapter import Adapter
from gradbench.strategies.forward import forward_replaced

__all__ = ["Momentum"]


class Momentum(Adapter):
    """Every `momentumnet.MomentumNet` of the model, made with `use_backprop=True`, as with `use_backprop=False`.

    A momentum network computes another function than a residual network with the same branches, so that only networks
    which are momentum networks already can be compared.

    Source: Sander et al., Momentum residual neural networks, section 3.2.
    """

    package: ClassVar[str] = "momentumnet"
    installed_as: ClassVar[str] = "momentumnet"

    @property
    def name(self) -> str:
        return "momentumnet"

    def nothing_in(self, model: nn.Module) -> str | None:
        if _networks(model):
            return None
        return f"{type(model).__name__} has no momentumnet.MomentumNet with use_backprop=True"

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        from momentumnet import MomentumNet

        with storing(model), ExitStack() as replaced:
            for network in _networks(model):
                twin = MomentumNet(
                    network.functions,
                    network.gamma,
                    network.init_speed,
                    network.init_function if network.init_speed else None,
                    use_backprop=False,
                    is_residual=network.network.is_residual,
                )
                replaced.enter_context(forward_replaced(network, twin.forward))
            yield


def _networks(model: nn.Module) -> list[nn.Module]:
    package: Any = sys.modules.get("momentumnet")  # who made such a network has imported it
    if package is None:
        return []
    return [module for module in model.modules() if isinstance(module, package.MomentumNet) and module.use_backprop]
