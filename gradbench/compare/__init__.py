"""Two runs of a case side by side: what is identical, what changed, and whether that is a regression. Never torch."""
