"""gradbench: are the weight gradients of memory-saving training still right, layer by layer, and at what cost?"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradbench.auditing import audit

__all__ = ["__version__", "audit"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `gradbench.audit` when it is first asked for: it needs torch, which most verbs do without."""
    if name != "audit":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gradbench.auditing import audit

    return audit
