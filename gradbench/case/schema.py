"""What a case file may say. Every section is a frozen record; unknown keys are errors.

The order of resolution, later wins: the file's own sections, the chosen `[profile.NAME]`, `--set key=value`, and for
one cell its point of the matrix, then every `[[override]]` whose `when` matches that point.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Case",
    "Claim",
    "Data",
    "Measure",
    "Model",
    "Override",
    "Quantity",
    "Settings",
    "Train",
]

Scalar = str | int | float | bool
#: What a `where` or `when` entry may be: the value itself or a list of values of which one must match.
Match = Scalar | list[Scalar]


class Section(BaseModel):
    """A part of a case file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Model(Section):
    """The network. `depth` counts layers (layerwise, the stem among them) or reversible blocks (hybrid)."""

    name: str = "hybrid"
    depth: Annotated[int, Field(ge=1)] = 3
    width: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    negative_slope: Annotated[float, Field(gt=0)] = 0.2
    eps_i: Annotated[float, Field(ge=0)] = 0.1
    pooling: tuple[Literal["channel", "batch"], ...] = ("channel", "channel")
    branch_layers: Annotated[int, Field(ge=1)] = 1
    norm_inverse: Literal["affine", "renormalize"] = "affine"


class Data(Section):
    """The data set, the batch and the augmentation (which happens on the device)."""

    name: str = "digits"
    path: str | None = None
    batch_size: Annotated[int, Field(ge=2)] = 128
    crop: Annotated[int, Field(ge=0)] = 0
    flip: bool = False
    image_size: Annotated[int, Field(ge=4)] = 32
    classes: Annotated[int, Field(ge=2)] = 10


class Train(Section):
    """Training: the same seed, initialisation and data order for every strategy."""

    optimizer: Literal["sgd"] = "sgd"
    steps: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.2
    strategies: Literal["all", "none"] | tuple[str, ...] = "all"
    evaluate_every: Annotated[int, Field(ge=1)] = 50
    evaluate_images: Annotated[int, Field(ge=1)] = 2000


class Measure(Section):
    """What is measured, on the trajectory of stored training, at the steps `at`."""

    strategies: tuple[str, ...] = ("reconstruct",)
    parameters: Literal["weights", "all"] = "weights"
    at: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    sgd_batches: Annotated[int, Field(ge=2)] = 16
    truth_batches: Annotated[int, Field(ge=0)] = 2
    activations: bool = True
    cost: bool = True
    cost_repeats: Annotated[int, Field(ge=1)] = 5


class Settings(Section):
    """Everything that decides one cell's numbers, its seed apart."""

    model: Model = Model()
    data: Data = Data()
    train: Train = Train()
    measure: Measure = Measure()


class Override(Section):
    """Other settings for some points of the matrix: `when` names axes (or `seed`), `set` names keys."""

    when: dict[str, Match]
    set: dict[str, Any]


class Quantity(Section):
    """A number for each seed, read from one table of results.

    Rows of `table` that match `where` are reduced inside each cell with `within`, then over the remaining cells of the
    same seed with `across`; or, with `slope_over`, to the least-squares slope of the value against that axis.
    """

    table: Literal["cells", "gradients", "activations", "training"]
    column: str
    where: dict[str, Match] = {}
    within: Literal["min", "median", "mean", "max", "share"] = "median"
    equals: Scalar | list[Scalar] | None = None
    slope_over: str | None = None
    across: Literal["min", "median", "mean", "max"] = "median"


class Claim(Section):
    """A sentence and the number that decides it.

    The number is `value`, or `value` minus `minus`, or `value` over `divided_by`, for each seed; its median over seeds
    is held against `test`, for example ">= 40".
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    says: str
    source: str = "gradbench"
    value: Quantity
    minus: Quantity | None = None
    divided_by: Quantity | None = None
    test: Annotated[str, Field(pattern=r"^(<=|>=|<|>|==) *-?[0-9.]+(e-?[0-9]+)?$")]


class Case(Settings):
    """A whole case file. `schema` is spelled `schema_version` here since pydantic keeps the other word."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    title: str
    question: str = ""
    source: str = ""
    tags: tuple[str, ...] = ()
    seeds: Annotated[int, Field(ge=1)] = 3
    matrix: dict[str, list[Scalar]] = {}
    override: tuple[Override, ...] = ()
    claim: tuple[Claim, ...] = ()
    profile: dict[str, dict[str, Any]] = {}
