"""What this machine can do, tried and not guessed: devices, engines, detectors, extras, weights."""
