"""One colour and one shape for each strategy, the same in every chart, in light and in dark.

The colours are CSS variables, so that the page's style decides their value; they follow Okabe and Ito's palette, which
readers with any colour vision can tell apart, and the shapes say the same once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import altair as alt

__all__ = ["SHAPES", "Palette"]

_PREFERRED = {"stored": 0, "reconstruct": 1, "checkpoint": 2, "approximate": 3, "naive-quantize": 4}
#: Vega's symbols and the same drawn in a box of 12 by 12, for the keys above the charts.
SHAPES = {
    "circle": "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9z",
    "square": "M2 2h8v8h-8z",
    "triangle-up": "M6 1.5l5 9h-10z",
    "diamond": "M6 .5l5 5.5l-5 5.5l-5-5.5z",
    "triangle-down": "M6 10.5l5-9h-10z",
    "cross": "M4.2 1h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z",
    "triangle-right": "M10.5 6l-9 5v-10z",
    "triangle-left": "M1.5 6l9 5v-10z",
}
_COLOURS = 8


@dataclass(frozen=True)
class Palette:
    """Which colour and shape a strategy has.

    Attributes:
        places: for each strategy its place: one below `_COLOURS` is a colour with its own shape, each of the next as
            many is a colour again with the next shape.
    """

    places: dict[str, int]

    @classmethod
    def of(cls, strategies: Iterable[str]) -> Palette:
        """Known strategies get their own place, others the next that is free."""
        places: dict[str, int] = {}
        names = list(strategies)
        for name in names:
            wanted = _PREFERRED.get(name.partition(":")[0])
            if wanted is not None and wanted not in places.values():
                places[name] = wanted
        for name in names:
            places.setdefault(name, next(place for place in count() if place not in places.values()))
        return cls({name: places[name] for name in names})

    def colour(self, strategy: str) -> str:
        """The strategy's colour for CSS and SVG."""
        return f"var(--c{self.places[strategy] % _COLOURS})"

    def shape(self, strategy: str) -> str:
        """The strategy's symbol in Vega's words."""
        again, place = divmod(self.places[strategy], _COLOURS)
        return list(SHAPES)[(place + again) % len(SHAPES)]

    def symbol(self, strategy: str) -> str:
        """The strategy's symbol as an SVG path in a box of 12 by 12."""
        return SHAPES[self.shape(strategy)]

    def colours(self, strategies: Sequence[str]) -> alt.Scale:
        """The colour scale over `strategies`."""
        return alt.Scale(domain=list(strategies), range=[self.colour(name) for name in strategies])

    def shapes(self, strategies: Sequence[str]) -> alt.Scale:
        """The scale of symbols over `strategies`."""
        return alt.Scale(domain=list(strategies), range=[self.shape(name) for name in strategies])
