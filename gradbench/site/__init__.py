"""A folder of reports becomes static pages that open from disk. Never imports torch."""
