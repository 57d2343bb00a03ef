"""GLAMOR-Net, one file per block of the paper's figure 2; `glamor_net` composes them."""
