"""Training: the optimizer, the state, the pure step, the loop around it."""
