"""What is measured of a cell: gradients, the noise of SGD, activations, memory, time, and training itself."""
