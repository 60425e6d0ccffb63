"""The parts of the demo: kernels, their machine, and what is measured, compared and drawn."""
