"""Generated scenes: data sets whose answers only face and context together give."""
