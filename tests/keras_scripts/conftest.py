"""Real Keras spends its time on compiling: tell XLA to spend less of it, before JAX starts."""

import os

os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
