"""The JavaScript that draws the charts, taken from the installed vl-convert: nothing is fetched."""

from __future__ import annotations

from functools import cache

import vl_convert

__all__ = ["vega"]


@cache
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that sets the global `vegaEmbed`."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", "<\\/script")
