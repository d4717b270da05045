"""A run's folder becomes `report.html`, one page that opens offline, and `summary.md`. Never imports torch."""
