"""What a case file may say. Every section is a frozen record; unknown keys are errors.

The order of resolution, later wins: the file's own sections, the chosen `[profile.NAME]`, `--set key=value`, and for
one cell its point of the matrix, then every `[[override]]` whose `when` matches that point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationInfo
from pydantic_core import PydanticCustomError

from gradbench.case.sizes import read_size
from gradbench.data import DATASETS
from gradbench.models import MODELS
from gradbench.registry import Registry
from gradbench.strategies import STRATEGIES

__all__ = [
    "Case",
    "Claim",
    "Data",
    "Difference",
    "Exclude",
    "Measure",
    "Model",
    "Override",
    "Quantity",
    "Reference",
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


def _beside_reference(strategies: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """The strategies without the reference, which is always run, listed or not."""
    return tuple(strategy for strategy in strategies if strategy != info.data.get("reference"))


StrategyName = Annotated[str, AfterValidator(_known(STRATEGIES))]


class Section(BaseModel):
    """A part of a case file: frozen, and an unknown key or a value of another type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _of_entry(registry: Registry, setting: str, otherwise: Any) -> Callable[[dict[str, Any]], Any]:
    """A default that the entry of the section's name decides, else `otherwise`."""
    return lambda given: registry[given["name"]].defaults.get(setting, otherwise) if "name" in given else otherwise


class Model(Section):
    """The network. A setting that is left out is what the model's source has: `gradbench show model:NAME` prints it."""

    name: Annotated[str, AfterValidator(_known(MODELS))] = "hybrid"
    """A name of the table of models."""
    depth: Annotated[int, Field(ge=1)] = Field(default_factory=_of_entry(MODELS, "depth", 3))
    """Blocks in all; of `layerwise` its layers, the stem among them."""
    width: Annotated[int, Field(ge=4, multiple_of=4)] = Field(default_factory=_of_entry(MODELS, "width", 32))
    """Channels of the first stage; a channel pooling multiplies them by four."""
    negative_slope: Annotated[float, Field(gt=0)] = 0.2
    """Slope of the leaky ReLU below 0: 1 is linear, and the smaller it is, the more its inverse enlarges errors."""
    activation: Literal["leaky", "smooth"] = "leaky"
    """A leaky ReLU, or one without a kink, of the same slopes far from 0: no gate of it flips."""
    eps_i: Annotated[float, Field(ge=0)] = 0.1
    """Smallest scale of the invertible batch norm, (|gamma| + eps_i)."""
    pooling: Many[Literal["channel", "batch", "max"]] = Field(
        default_factory=_of_entry(MODELS, "pooling", ("channel", "channel"))
    )
    """What stands between the stages, one stage more than there are entries; each halves the image."""
    branch_layers: Annotated[int, Field(ge=1)] = Field(default_factory=_of_entry(MODELS, "branch_layers", 1))
    """Layers in each branch of a block; of a reversible block before the first pooling one, as in the source."""
    norm_inverse: Literal["affine", "renormalize"] = "affine"
    """How a norm is undone: by its saved statistics, or by normalising its output once more."""
    norm_init: Literal["ones", "random"] = "ones"
    """How scale and shift of every norm begin: at 1 and 0, or drawn from U(0, 1) and N(0, 1)."""
    norm_spread: Annotated[float, Field(ge=1)] = 1.0
    """A fifth of the channels of every norm begins with a scale so many times smaller."""
    layer_kind: Literal["norm", "activation"] = "activation"
    """Of `single-layer`, the network of one invertible layer between a stem and a head: which layer it is."""


class Data(Section):
    """The data set, the batch and the augmentation (which happens on the device)."""

    name: Annotated[str, AfterValidator(_known(DATASETS))] = "digits"
    """A name of the table of data sets."""
    path: str | None = None
    """The file of `npz`; the folder of downloaded data sets, else `$GRADBENCH_DATA`, else `~/.cache/gradbench`."""
    batch_size: Annotated[int, Field(ge=2)] = 128
    """Images in a minibatch."""
    crop: Annotated[int, Field(ge=0)] = 0
    """Training images are shifted by up to this many pixels each way, mirrored at the edge."""
    flip: bool = False
    """Whether training images are mirrored left to right, half of the time."""
    cutout: Annotated[int, Field(ge=0)] = 0
    """Side in pixels of a square of each training image that is set to the mean colour; 0 for none."""
    image_size: Annotated[int, Field(ge=4)] = Field(default_factory=_of_entry(DATASETS, "image_size", 32))
    """Height and width in pixels; `digits` and `synthetic` take any, the others have their own."""
    classes: Annotated[int, Field(ge=2)] = Field(default_factory=_of_entry(DATASETS, "classes", 10))
    """Number of classes; `synthetic` and `npz` take any, the others have their own."""


def _as_bytes(value: Any) -> Any:
    """A size such as "1GB" as its bytes; anything else as it is."""
    if not isinstance(value, str):
        return value
    if (size := read_size(value)) is None:
        raise PydanticCustomError("no_size", "a size such as 1GiB or 500MB, or a number of bytes")
    return size


class Train(Section):
    """Training: the same seed, initialisation and data order for every strategy."""

    precision: Literal["float64", "float32", "tf32", "bfloat16", "float16"] = "float32"
    """Arithmetic of training and of what is measured: the last two by autocast, `tf32` in convolutions on a GPU."""
    cudnn_benchmark: bool = False
    """Whether training, time and memory have the fastest convolutions of cuDNN; errors have deterministic ones."""
    optimizer: Literal["sgd", "adam", "rmsprop"] = "sgd"
    """SGD (Nesterov, where the momentum is above 0), Adam or RMSProp, each with the same schedule."""
    steps: Annotated[int, Field(ge=0)] = 0
    """Optimiser steps of a whole training."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    """Peak of the schedule."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD and RMSProp; of Adam the decay of its first moment."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """Weight decay, added to the gradient of every parameter."""
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of the steps over which the learning rate rises from 0 to its peak; then it falls to 0, both linearly."""
    strategies: Literal["all", "none"] | Annotated[Many[StrategyName], AfterValidator(_distinct)] = "all"
    """Which strategies train a network of their own: all that are measured, none, or those listed and the reference."""
    evaluate_every: Annotated[int, Field(ge=1)] = 50
    """Steps between two evaluations on test images."""
    evaluate_images: Annotated[int, Field(ge=1)] = 2000
    """How many test images, the first ones."""
    memory_limit: Annotated[int, Field(gt=0), BeforeValidator(_as_bytes)] | None = None
    """Bytes, or `1GB`, that training must fit into: on a GPU by its allocator, on a CPU by what a plan counts."""


class Measure(Section):
    """What is measured, on the trajectory of the reference's training, at the steps `at`.

    The reference is run in any case, and `strategies` holds the others.
    """

    reference: StrategyName = "stored"
    """What the others are held against: `stored`, or another where storing does not fit, which is then not judged."""
    strategies: Annotated[Many[StrategyName], AfterValidator(_distinct), AfterValidator(_beside_reference)] = (
        "reconstruct",
    )
    """A list of names from the table of strategies."""
    parameters: Literal["weights", "all"] = "weights"
    """Which parameters get a row in gradients.csv; verdicts are of weights in any case."""
    at: Annotated[Many[Annotated[int, Field(ge=0)]], AfterValidator(_distinct), Field(min_length=1)] = (0,)
    """After how many steps of the reference's training gradients and activations are measured; 0 is initialisation."""
    sgd_batches: Annotated[int, Field(ge=1)] = 16
    """Minibatches without an image in common, over which errors and the noise of SGD are taken; one has no noise."""
    truth_batches: Annotated[int, Field(ge=0)] = 2
    """How many of them get the gradient in float64 too; without any, no verdict is `rounding`."""
    draws: Annotated[int, Field(ge=1)] = 1
    """How often each of them is run by a strategy that is random: from 2 on, draws are told from the rest of errors."""
    check_batch_size: Annotated[int, Field(ge=2)] | None = None
    """A second batch size at which errors are held against the noise of SGD, to check what is extrapolated to it."""
    activations: bool = True
    """Whether the SNR of rebuilt activations is measured."""
    state: bool = True
    """Whether what one step leaves behind is held against stored training, at the first of `at`; with seed 0 only."""
    cost: bool = True
    """Whether time and memory are measured; they are with seed 0 only."""
    cost_repeats: Annotated[int, Field(ge=1)] = 5
    """Repetitions of a step that its median time is taken over."""


class Settings(Section):
    """Everything that decides one cell's numbers, its seed apart. A key such as `train.steps` names one of them."""

    model: Model = Model()
    data: Data = Data()
    train: Train = Train()
    measure: Measure = Measure()


class Exclude(Section):
    """Points of the matrix, or seeds at them, that are not run: `when` names axes or `seed`."""

    when: Annotated[dict[str, Match], Field(min_length=1)]
    """Axes, or `seed`, each with a value or a list of values; all of them must match."""


class Override(Section):
    """Other settings for some points of the matrix: `when` names axes (or `seed`), `set` names keys."""

    when: Annotated[dict[str, Match], Field(min_length=1)]
    """Axes, or `seed`, each with a value or a list of values; all of them must match."""
    set: Annotated[dict[str, Any], Field(min_length=1)]
    """Settings by their dotted keys, such as `"train.steps" = 40`; not an axis."""


class Quantity(Section):
    """A number for each seed, read from one table of results.

    Rows of `table` that match `where` are reduced inside each cell with `within`, then over the remaining cells of the
    same seed with `across`; or, with `slope_over`, to the least-squares slope of the value against that axis.
    """

    table: Literal["cells", "gradients", "activations", "state", "training"]
    """A table of results."""
    column: str
    """One of its columns."""
    where: dict[str, Match] = {}
    """Columns and axes, each with a value or a list of values; all of them must match."""
    within: Literal["min", "median", "mean", "max", "share"] = "median"
    """How the rows of one cell become one number; `share` is the share of rows that equal `equals`."""
    equals: Scalar | list[Scalar] | None = None
    """Of `share`: what counts."""
    slope_over: str | None = None
    """An axis: the number of a seed is the least-squares slope of its cells over it."""
    across: Literal["min", "median", "mean", "max"] = "median"
    """How the cells of one seed become one number, where there is no `slope_over`."""
    diverged: float | None = None
    """Of `accuracy` and `loss` in `cells`: what a training that diverged counts as, for example 0.1 for ten classes."""

    def wanted(self, key: str) -> frozenset[Any] | None:
        """The values of a column or an axis that `where` lets through; None where it says nothing of it."""
        given = self.where.get(key)
        return None if given is None else frozenset(given if isinstance(given, list) else [given])


class Claim(Section):
    """A sentence and the number that decides it.

    The number is `value`, less `minus` and over `divided_by` where they are given, for each seed, or with `across` for
    each cell and then for each seed; its median over seeds is held against `test`, for example ">= 40", and both ends
    of its interval with it.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """Short name for links and tables, of a-z, 0-9 and hyphens."""
    says: str
    """The sentence that is held or not."""
    source: str = "gradbench"
    """Who says it."""
    value: Quantity
    """The number."""
    minus: Quantity | None = None
    """A quantity that is taken away from it, seed by seed, or with `across` cell by cell."""
    divided_by: Quantity | None = None
    """A quantity that it is divided by, seed by seed, or with `across` cell by cell."""
    across: Literal["min", "median", "mean", "max"] | None = None
    """Combine them cell by cell, and then the cells of a seed in this way: `"max"` asks for the largest difference at
    any one setting. A cell's counterpart agrees with it on every axis of which both `where` say the same."""
    test: Annotated[str, Field(pattern=r"^(<=|>=|<|>|==) *-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?$")]
    """What the median over seeds is held against: a comparison with a number, such as `>= 40`."""
    profiles: Many[str] = ()
    """The profiles that it is asked of, where a smaller one cannot tell; without any, of all."""


class Reference(Section):
    """What a source gives for a quantity: a curve (`points` along an axis) or a level, drawn and listed beside ours.

    Ours is, like a claim's, `value` for each cell, then its median over seeds.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """Short name for links and tables, of a-z, 0-9 and hyphens."""
    label: str
    """What charts and tables call it, such as `Hascoet et al., Figure 11 (left)`."""
    source: str
    """Where the numbers stand and how they were read, with what differs from the case."""
    value: Quantity
    """The quantity, without `slope_over`."""
    along: str | None = None
    """Of a curve: the axis that its points lie along; of `activations` also `position`, from layer to layer."""
    points: Many[Annotated[tuple[float, float], Strict(False)]] | None = None
    """Of a curve: two pairs or more of a place on it and the source's value there, rising along it."""
    level: float | None = None
    """Of a level: the source's value."""


class Difference(Section):
    """What a reader must know who holds this case beside its source: the setups differ, or the source errs."""

    about: str
    """What differs, in a few words, such as `the depth axis`."""
    theirs: str
    """What the source has, and where."""
    ours: str
    """What this case has."""
    why: str = ""
    """Why, and what it changes in the numbers, with what was tried."""


class Case(Settings):
    """A whole case file. `schema` is spelled `schema_version` here since pydantic keeps the other word."""

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    """The version of this format."""
    title: str
    """What lists and the report call it."""
    question: str = ""
    """The question that the report stands under."""
    source: str = ""
    """Who asked it first."""
    tags: Annotated[Many[str], AfterValidator(_distinct)] = ()
    """Words to choose cases by; `nightly` makes it part of a night."""
    seeds: Annotated[int, Field(ge=1)] = 3
    """How many: seeds 0, 1, ... decide initialisation, order of the images and augmentation."""
    cells_per_gpu: Annotated[int, Field(ge=1)] | None = None
    """At most so many cells share a GPU, where each takes much of it and `--jobs` says nothing else."""
    matrix: dict[str, list[Scalar]] = {}
    """Axes, each a setting with a list of values; every combination is a point."""
    exclude: Many[Exclude] = ()
    """Points of the matrix that are not run."""
    override: Many[Override] = ()
    """Other settings for some points."""
    claim: Many[Claim] = ()
    """The claims that the run decides."""
    answer: Annotated[Many[str], AfterValidator(_distinct)] = ()
    """Names of the claims that answer the question: the report begins with them."""
    reference: Many[Reference] = ()
    """Values of sources, to stand beside ours."""
    difference: Many[Difference] = ()
    """What differs from the sources, and why."""
    profile: dict[str, dict[str, Any]] = {}
    """By name, settings that `--profile NAME` puts over those of the file."""
