"""Runs a case: a process for each cell, a store of finished cells, a folder for each run. POSIX only.

Nothing here imports torch in the process that calls `run_cases`; the cells' own processes do.
"""
