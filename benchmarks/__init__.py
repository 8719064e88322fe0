"""How fast cpool is, beside copying the same memory and beside other libraries: ``python -m benchmarks pool``."""
