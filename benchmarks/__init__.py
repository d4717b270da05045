"""What gradbench costs, measured: run each as `python -m benchmarks.NAME`."""
