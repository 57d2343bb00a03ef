"""The network's size, its shapes in every form, and what each variant listens to."""

import math

import pytest
import torch

from glamor_cli.export.tensorflow_checkpoint import VARIABLE_NAMES
from glamor_cli.network.config import (
    CONTEXT_SIZE,
    FACE_SIZE,
    FEATURE_MAPS,
    Encoder,
    NetworkConfig,
    Variant,
)
from glamor_cli.network.encoders import make_encoder
from glamor_cli.network.glamor_net import GlamorNet

FORMS = [(Encoder.ORIGINAL, variant) for variant in Variant] + [(Encoder.RESNET18, Variant.FULL)]


def count(parameters):
    return sum(value.numel() for value in parameters)


def make_inputs(batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(batch, 3, FACE_SIZE, FACE_SIZE, generator=generator),
        torch.rand(batch, 3, CONTEXT_SIZE, CONTEXT_SIZE, generator=generator),
    )


def make_network(encoder=Encoder.ORIGINAL, variant=Variant.FULL, classes=7):
    torch.manual_seed(0)
    return GlamorNet(NetworkConfig(encoder, variant, classes)).eval()


def test_parameter_counts_of_the_original():
    """2,158,602 trainable and 2,161,802 with the moving statistics (docs/official-program.md)."""
    network = make_network()
    statistics = [
        value for name, value in network.named_buffers() if not name.endswith("batches_tracked")
    ]
    assert count(network.parameters()) == 2_158_602
    assert count(network.parameters()) + count(statistics) == 2_161_802
    assert count(network.face_encoder.parameters()) == 979_968
    assert count(network.attention.hidden.parameters()) == 65_664
    assert count(network.attention.norm.parameters()) == 256
    assert count(network.attention.score.parameters()) == 129
    assert count(network.fusion.face.parameters()) == 33_025
    assert count(network.classifier.hidden.parameters()) == 65_664
    assert count(network.classifier.logits.parameters()) == 903


def test_authors_names_cover_the_network():
    state = {name for name in make_network().state_dict() if not name.endswith("batches_tracked")}
    assert set(VARIABLE_NAMES.values()) == state
    assert len(VARIABLE_NAMES) == 80


def test_resnet18_is_two_trunks_and_our_heads():
    """The paper's table says 22.9 M; torchvision's trunks have no convolution biases."""
    network = make_network(Encoder.RESNET18)
    trunk = 11_689_512 - (512 * 1000 + 1000)  # torchvision's figure without its classifier
    attention = (1024 * 128 + 128) + 2 * 128 + (128 + 1)
    fusion = 2 * ((512 * 128 + 128) + (128 + 1))
    classifier = (1024 * 128 + 128) + (128 * 7 + 7)
    assert count(network.face_encoder.parameters()) == trunk
    assert count(network.parameters()) == 2 * trunk + attention + fusion + classifier


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (Variant.FACE_ONLY, 979_968 + 128 * 257 + 903),
        (Variant.CONTEXT_ONLY, 979_968 + 128 * 257 + 256 + 129 + 128 * 257 + 903),
        (Variant.POOLED_CONTEXT, 2_158_602 - 65_664 - 256 - 129),
        (Variant.SELF_ATTENTION, 2_158_602 - 256 * 128),
        (Variant.EQUAL_FUSION, 2_158_602 - 2 * 33_025),
    ],
)
def test_variants_have_only_what_they_use(variant, expected):
    assert count(make_network(variant=variant).parameters()) == expected


@pytest.mark.parametrize(("encoder", "variant"), FORMS)
def test_shapes_and_sums_of_every_form(encoder, variant):
    network = make_network(encoder, variant, classes=5)
    with torch.inference_mode():
        logits, attention, weights = network(*make_inputs())
    size = 7 if encoder is Encoder.ORIGINAL else 4
    assert network.config.attention_size == size
    assert logits.shape == (2, 5)
    assert attention.shape == (2, size, size)
    assert weights.shape == (2, 2)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    sums = torch.zeros(2) if variant is Variant.FACE_ONLY else torch.ones(2)
    torch.testing.assert_close(attention.sum(dim=(1, 2)), sums)


@pytest.mark.parametrize("encoder", Encoder)
def test_every_encoder_makes_the_map_that_is_written_of_it(encoder):
    found = FEATURE_MAPS[encoder]
    with torch.inference_mode():
        made = make_encoder(encoder).eval()(make_inputs()[1])
    assert made.shape == (2, found.channels, found.size, found.size)
    assert found.size == math.ceil(CONTEXT_SIZE / found.stride)
    for other in FEATURE_MAPS.values():
        assert other.size != found.size or other.is_even == found.is_even


def test_what_each_variant_listens_to():
    face, context = make_inputs()
    other_face, other_context = make_inputs(seed=1)
    for variant in Variant:
        network = make_network(variant=variant)
        with torch.inference_mode():
            base, new_face, new_context = (
                network(*inputs)
                for inputs in ((face, context), (other_face, context), (face, other_context))
            )
        heard_face = not torch.equal(base.logits, new_face.logits)
        heard_context = not torch.equal(base.logits, new_context.logits)
        assert heard_face is (variant is not Variant.CONTEXT_ONLY), variant
        assert heard_context is (variant is not Variant.FACE_ONLY), variant
        # The paper's claim: only here does the face decide where in the context to look.
        face_looks = not torch.equal(base.attention, new_face.attention)
        assert face_looks is (variant in (Variant.FULL, Variant.EQUAL_FUSION)), variant


def test_attention_is_the_papers_formula():
    """Splitting the first dense layer must equal concatenating face and location."""
    attention = make_network().attention
    generator = torch.Generator().manual_seed(2)
    face = torch.rand(3, 256, generator=generator)
    context = torch.rand(3, 256, 7, 7, generator=generator)
    with torch.inference_mode():
        locations = context.flatten(2).transpose(1, 2)
        pairs = torch.cat((face[:, None].expand(-1, 49, -1), locations), dim=2)
        normed = attention.norm(attention.hidden(pairs).relu().flatten(0, 1)).relu()
        expected = attention.score(normed).view(3, 49).softmax(1).view(3, 7, 7)
        actual = attention(context, face)
    torch.testing.assert_close(actual, expected)


def test_answers_do_not_depend_on_the_batch():
    network, (face, context) = make_network(), make_inputs(5)
    with torch.inference_mode():
        together = network(face, context).logits
        apart = torch.cat([network(face[i : i + 1], context[i : i + 1]).logits for i in range(5)])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)
