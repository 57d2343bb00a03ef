"""Training: recipes, the trainer, checkpoints that resume."""
