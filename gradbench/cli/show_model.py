"""`gradbench show model:NAME`: a network's plan, its size, and its memory by the sources' own arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from gradbench.cli.tables import print_sentence, print_table
from gradbench.errors import UsageError
from gradbench.models import MODELS

if TYPE_CHECKING:
    from torch import nn

    from gradbench.case.schema import Settings
    from gradbench.models.network import StagedNetwork

__all__ = ["show_model"]

#: The batch of Table 1's last column, unless another is given.
_BATCH = "data.batch_size=512"


def show_model(name: str, sets: Sequence[str]) -> None:
    """Print it. The network is built without memory for its weights, to count them.

    Raises:
        UsageError: the name or a setting is wrong.
    """
    from gradbench.case.load import settings_of

    if problem := MODELS.check(name):
        raise UsageError(problem)
    settings = settings_of([f"model.name={name}", _BATCH, *sets])
    if settings.model.name != name:
        raise UsageError(f"model:{name} cannot be changed to {settings.model.name}: show model:{settings.model.name}")
    network = _on_meta(settings)
    entry = MODELS[name]
    print_sentence(f"{name}: {entry.summary} ({entry.source})" if entry.source else f"{name}: {entry.summary}")
    print_sentence(", ".join(f"{key} {_value(value)}" for key, value in settings.model if key != "name"))
    _print_network(network, settings)


def _on_meta(settings: Settings) -> nn.Module:
    import torch

    from gradbench.models.build import build

    with torch.device("meta"):
        return build(settings.model, settings.data.classes, settings.data.image_size)


def _value(value: object) -> str:
    return "-".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def _print_network(network: nn.Module, settings: Settings) -> None:
    from gradbench.case.schema import Model
    from gradbench.models.arithmetic import RULES, rebuilt_bytes
    from gradbench.models.network import StagedNetwork
    from gradbench.models.published import PUBLISHED

    if not isinstance(network, StagedNetwork):
        parameters = sum(parameter.numel() for parameter in network.parameters())
        click.echo(f"\n{parameters:,} parameters, {parameters * 4 / 1e6:.2f} MB in float32")
        return
    click.echo()
    headers = ["stage", "pooling", "channels", "size", "blocks", "layers a branch", "values a pixel"]
    rows = list(_stage_rows(network, settings.data.image_size))
    print_table(headers, rows, [header for header in headers if header not in ("pooling", "size")])
    click.echo()
    row = PUBLISHED.get(settings.model.name)
    headers = ["float32", "here", row.where if row else "published"]
    print_table(headers, list(_size_rows(network, settings)), headers[1:])
    click.echo("\nBytes a pixel of the image, without weights, their gradients, stem and head:")
    for strategy, rule in RULES.items():
        if strategy == "stored" or rebuilt_bytes(network) is not None:
            print_sentence(f"- {strategy}: {rule}.")
    plain = settings.model.model_dump(include={"depth", "width", "pooling", "branch_layers"})
    if row and plain == Model(name=settings.model.name).model_dump(include=set(plain)):
        click.echo(f"\nAgainst {row.where} of Hascoet et al.:")
        for sentence in row.differences:
            print_sentence(f"- {sentence}")
    elif row:
        click.echo(f"\nThe published network has other settings: `gradbench show model:{settings.model.name}`.")


def _stage_rows(network: StagedNetwork, image_size: int) -> Iterator[list[str]]:
    for number, stage in enumerate(network.stages):
        size = f"{image_size // 2**stage.halvings}x{image_size // 2**stage.halvings}"
        numbers = [stage.blocks, stage.branch_layers, f"{stage.values:g}"]
        yield [str(number), stage.pooling or "", str(stage.channels), size, *map(str, numbers)]


def _size_rows(network: StagedNetwork, settings: Settings) -> Iterator[list[str]]:
    from gradbench.measure.size import size
    from gradbench.models.arithmetic import RULES
    from gradbench.models.published import PUBLISHED

    row = PUBLISHED.get(settings.model.name)
    data = settings.data
    images = f"{data.batch_size} images of {data.image_size}x{data.image_size}"
    found = {strategy: size(network, strategy, data.batch_size * data.image_size**2) for strategy in RULES}
    yield ["parameters", f"{found['stored']['parameter_count']:,}", row.parameters if row else ""]
    yield ["weights, MB", f"{found['stored']['weight_bytes'] / 1e6:.2f}", row.weights if row else ""]
    for strategy, sizes in found.items():
        if sizes["counted_bytes"] is None:
            continue
        printed = row if row and row.strategy == strategy else None
        count, total = sizes["counted_bytes_per_pixel"], sizes["counted_bytes"] / 1e6
        yield [f"{strategy}, bytes a pixel", f"{count:g}", printed.bytes_per_pixel if printed else ""]
        same = printed is not None and (data.batch_size, data.image_size) == (512, 32)
        yield [f"{strategy}, {images} and the weights, MB", f"{total:,.1f}", printed.total if printed and same else ""]
    if row and row.accuracy:
        yield ["accuracy on CIFAR-10", "", row.accuracy]
