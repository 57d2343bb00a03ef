"""Generated contexts: as many as asked for, of every kind, and the same however many processes."""

import pytest
import torch

from glamor_cli.data.batches.draws import Draws, Part
from glamor_cli.data.batches.synthetic_contexts import replace_contexts, synthetic_contexts


def draws(part: Part | None = None) -> Draws:
    return Draws(torch.Generator().manual_seed(0), part)


def test_a_share_is_replaced_and_the_rest_untouched() -> None:
    contexts = torch.full((200, 3, 112, 112), 0.123)
    replaced = replace_contexts(contexts, 0.3, draws())
    touched = (replaced != contexts).flatten(1).any(dim=1)
    # 60 expected, with a standard deviation of 6.5.
    assert 34 < touched.sum() < 86
    assert (replaced[touched] != 0.123).flatten(1).float().mean(dim=1).min() > 0.9
    assert torch.equal(replace_contexts(contexts, 0, draws()), contexts)


def test_pictures_differ_in_all_that_the_network_may_not_go_by() -> None:
    pictures = synthetic_contexts(150, draws())
    assert 0 <= pictures.min() < pictures.max() <= 1
    gray = (pictures == pictures[:, :1]).flatten(1).all(dim=1)
    assert 25 < gray.sum() < 70
    brightness = pictures.mean(dim=(1, 2, 3))
    assert brightness.min() < 0.1
    assert brightness.max() > 0.8
    rough = (pictures[..., 1:] - pictures[..., :-1]).abs().mean(dim=(1, 2, 3))
    assert rough.max() > 10 * rough.min()
    # The face's square, of at least 8 pixels' side, of which a corner shows at least.
    black = (pictures.amax(dim=1) == 0).flatten(1).sum(dim=1)
    assert black.min() >= 16


@pytest.mark.parametrize("size", [2, 3, 7])
def test_processes_replace_what_one_would(size: int) -> None:
    contexts = torch.rand(5, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    whole = replace_contexts(contexts, 0.5, draws())
    assert 0 < (whole != contexts).flatten(1).any(dim=1).sum() < 5
    parts = [Part.of(5, rank, size) for rank in range(size)]
    assert sum(map(len, parts)) == 5
    shared = [
        replace_contexts(contexts[part.rows], 0.5, draws(part)) for part in parts if not part.idle
    ]
    torch.testing.assert_close(torch.cat(shared), whole, rtol=0, atol=1e-6)
