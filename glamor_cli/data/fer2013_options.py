"""FER2013's options. Free of NumPy, for the command line."""

VOTES_SHARE = 0.5
"""How much of a soft label are FER+'s votes, unless told otherwise."""
