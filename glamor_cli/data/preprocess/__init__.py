"""From data sets to pair stores, on many processes and machines."""
