"""Int8, int4 and fp16 versions of a graph. Nodes go by their names, which passes keep."""
