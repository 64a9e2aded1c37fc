"""asrpack: a model optimization and packaging compiler for speech recognition."""

__version__ = "0.1.0"
