"""Tests of recordings of real kernels."""
