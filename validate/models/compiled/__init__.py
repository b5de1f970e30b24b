"""The transformer's training step in compiled kernels, for a CPU and single precision: `network` is what others see of it."""
