"""The kernel's generic operations on page tables. They know neither the architecture nor where hooks are placed.

Every level of the kernel's nested functions (``vmap_p4d_range``, ``vmap_pud_range``, ...) does the same to an entry of
its level, so each walk here is one function that works on an entry and calls itself for the entries below.
"""
