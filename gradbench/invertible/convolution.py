"""A plain 2-D convolution as a branch: run again and differentiated without an autograd graph.

Split convolutions are the most frequent branches of all, and on a GPU small ones are bound by the calls around them.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn

from gradbench.invertible.gradients import Gradients

__all__ = ["is_plain_convolution", "pull_back_convolution"]


def is_plain_convolution(module: nn.Module, device: str) -> TypeGuard[nn.Conv2d]:
    """Return whether `pull_back_convolution` gives what autograd would: no hooks, no autocast, zeros as padding."""
    return (
        type(module) is nn.Conv2d
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and not (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)
        and not module._backward_pre_hooks
        and not torch.is_autocast_enabled(device)
    )


def pull_back_convolution(layer: nn.Conv2d, x: Tensor, dy: Tensor, gradients: Gradients) -> Tensor:
    """Return the gradient of `x`, (N, C, H, W), and add the layer's own: the call that autograd's node makes."""
    weight, bias = layer.weight, layer.bias
    mask = [True, gradients.wants(weight), bias is not None and gradients.wants(bias)]
    sizes = None if bias is None else [bias.numel()]
    dx, d_weight, d_bias = torch.ops.aten.convolution_backward(
        dy, x, weight, sizes, layer.stride, layer.padding, layer.dilation, False, [0, 0], layer.groups, mask
    )
    if mask[1]:
        gradients.add(weight, d_weight)
    if bias is not None and mask[2]:
        gradients.add(bias, d_bias)
    return dx
