"""Teaching a frozen model to read sparse memories: a LoRA adapter, trained through the memories themselves.

The paper names three things a model must learn for this (sections 2.3 and 3.3): to write what is worth
keeping, to read it, and to forget nothing else. Here all three are learnt by low-rank updates of the same
weights (LoRA, arXiv 2106.09685) while the base stays as it is.
"""
