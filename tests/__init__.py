"""Tests of the Python package; the core's own stand beside its code and in rust/lazymmu/tests."""
