"""gradbench: are the weight gradients of memory-saving training still right, layer by layer, and at what cost?"""

__version__ = "0.1.0"
