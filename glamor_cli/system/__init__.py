"""The machine and the process: its CPUs and GPUs, packages, launcher, signals and clocks."""
