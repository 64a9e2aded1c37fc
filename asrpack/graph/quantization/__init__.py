"""Int8 and fp16 versions of an optimized graph. Nodes go by their names, which passes keep."""
