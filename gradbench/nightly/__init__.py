"""One night: run the cases tagged nightly, compare with the baseline, record, and tell who must know."""
