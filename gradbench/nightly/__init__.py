"""One night: run the cases of a tag, hold each against its baseline, add to the history, say what changed."""
