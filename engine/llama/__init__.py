"""Explicit memory inside llama.cpp: per-head sparse memories as cells of its key-value cache.

A cell holds one key row and one value row per key-value head, keys already rotated, and attention knows
nothing of a cell beyond its mask. So cell *i* of a memory holds, for every head, that head's own *i*-th
selected token: k tokens per head are k cells. They enter through the per-sequence state interface.
"""
