"""A run's folder becomes `report.html`, one page that opens offline, and `summary.md`. Never imports torch."""

from gradbench.report.page import build

__all__ = ["build"]
