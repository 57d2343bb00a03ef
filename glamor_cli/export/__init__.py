"""From weights to verified files that run elsewhere; from the authors' checkpoint to weights."""
