"""The paper's ablations: variants trained alike over several seeds, judged, in a table."""
