"""Which run a user means, accepted baselines, and what every night found. Never imports torch."""
