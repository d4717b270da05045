"""What a case file may say. Every section is a frozen record; unknown keys are errors.

The order of resolution, later wins: the file's own sections, the chosen `[profile.NAME]`, `--set key=value`, and for
one cell its point of the matrix, then every `[[override]]` whose `when` matches that point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError

from gradbench.data import DATASETS
from gradbench.models import MODELS
from gradbench.registry import Registry
from gradbench.strategies import STRATEGIES

__all__ = [
    "Case",
    "Claim",
    "Data",
    "Exclude",
    "Measure",
    "Model",
    "Override",
    "Quantity",
    "Settings",
    "Train",
]

T = TypeVar("T")

Scalar = str | int | float | bool
#: What a `where` or `when` entry may be: the value itself or a list of values of which one must match.
Match = Scalar | list[Scalar]
#: A list in the file, a tuple here. Its entries are checked as strictly as everything else.
Many = Annotated[tuple[T, ...], Strict(False)]


def _known(registry: Registry) -> Callable[[str], str]:
    """A validator that lets pass what `registry` knows."""

    def check(spec: str) -> str:
        if problem := registry.check(spec):
            raise PydanticCustomError("unknown_name", "{problem}", {"problem": problem})
        return spec

    return check


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """A validator that lets pass a list without repetitions."""
    for index, value in enumerate(values):
        if value in values[:index]:
            problem = f"{value!r} is listed twice: once is allowed"
            raise PydanticCustomError("listed_twice", "{problem}", {"problem": problem, "index": index})
    return values


def _beside_stored(strategies: tuple[str, ...]) -> tuple[str, ...]:
    """The strategies without `stored`, which is the reference and always measured, listed or not."""
    return tuple(strategy for strategy in strategies if strategy != "stored")


StrategyName = Annotated[str, AfterValidator(_known(STRATEGIES))]


class Section(BaseModel):
    """A part of a case file: frozen, and an unknown key or a value of another type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Model(Section):
    """The network. `depth` counts layers (layerwise, the stem among them) or reversible blocks (hybrid)."""

    name: Annotated[str, AfterValidator(_known(MODELS))] = "hybrid"
    depth: Annotated[int, Field(ge=1)] = 3
    width: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    negative_slope: Annotated[float, Field(gt=0)] = 0.2
    eps_i: Annotated[float, Field(ge=0)] = 0.1
    pooling: Many[Literal["channel", "batch"]] = ("channel", "channel")
    branch_layers: Annotated[int, Field(ge=1)] = 1
    norm_inverse: Literal["affine", "renormalize"] = "affine"


class Data(Section):
    """The data set, the batch and the augmentation (which happens on the device)."""

    name: Annotated[str, AfterValidator(_known(DATASETS))] = "digits"
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
    strategies: Literal["all", "none"] | Annotated[Many[StrategyName], AfterValidator(_distinct)] = "all"
    evaluate_every: Annotated[int, Field(ge=1)] = 50
    evaluate_images: Annotated[int, Field(ge=1)] = 2000


class Measure(Section):
    """What is measured, on the trajectory of stored training, at the steps `at`.

    `stored` is measured in any case: it is the reference, and `strategies` holds the others.
    """

    strategies: Annotated[Many[StrategyName], AfterValidator(_distinct), AfterValidator(_beside_stored)] = (
        "reconstruct",
    )
    parameters: Literal["weights", "all"] = "weights"
    at: Annotated[Many[Annotated[int, Field(ge=0)]], AfterValidator(_distinct), Field(min_length=1)] = (0,)
    sgd_batches: Annotated[int, Field(ge=2)] = 16
    truth_batches: Annotated[int, Field(ge=0)] = 2
    activations: bool = True
    cost: bool = True
    cost_repeats: Annotated[int, Field(ge=1)] = 5


class Settings(Section):
    """Everything that decides one cell's numbers, its seed apart. A key such as `train.steps` names one of them."""

    model: Model = Model()
    data: Data = Data()
    train: Train = Train()
    measure: Measure = Measure()


class Exclude(Section):
    """Points of the matrix, or seeds at them, that are not run: `when` names axes or `seed`."""

    when: Annotated[dict[str, Match], Field(min_length=1)]


class Override(Section):
    """Other settings for some points of the matrix: `when` names axes (or `seed`), `set` names keys."""

    when: Annotated[dict[str, Match], Field(min_length=1)]
    set: Annotated[dict[str, Any], Field(min_length=1)]


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

    The number is `value`, less `minus` and over `divided_by` where they are given, for each seed; its median over seeds
    is held against `test`, for example ">= 40".
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    says: str
    source: str = "gradbench"
    value: Quantity
    minus: Quantity | None = None
    divided_by: Quantity | None = None
    test: Annotated[str, Field(pattern=r"^(<=|>=|<|>|==) *-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?$")]


class Case(Settings):
    """A whole case file. `schema` is spelled `schema_version` here since pydantic keeps the other word."""

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    title: str
    question: str = ""
    source: str = ""
    tags: Annotated[Many[str], AfterValidator(_distinct)] = ()
    seeds: Annotated[int, Field(ge=1)] = 3
    matrix: dict[str, list[Scalar]] = {}
    exclude: Many[Exclude] = ()
    override: Many[Override] = ()
    claim: Many[Claim] = ()
    profile: dict[str, dict[str, Any]] = {}
