"""GLAMOR-Net: a file for each block of the paper's figure, `glamor_net`, and its fast forms."""
