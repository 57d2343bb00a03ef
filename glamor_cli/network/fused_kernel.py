"""The attention-fusion core as one Triton kernel. Imported by ``fused_core`` alone: needs Triton.

One program answers ``SAMPLES`` samples. It goes over the feature maps' channels twice, ``STEP`` at
a time. The first pass pools the face and multiplies its channels into the three layers that read
the face vector, and the context's positions into the attention's layer. The second sums the
positions under the attention, and multiplies the sum's channels into the two layers that read the
context vector. No vector has to be kept whole between the layers, because

- the classifier's first layer is linear: ``W [w_f v_f; w_c v_c] = w_f (W_f v_f) + w_c (W_c v_c)``,
  so its products are formed before the stream weights are known;
- the attention's first layer is: ``W [v_f; position] = W_f v_f + W_c position``, so the face's
  half is computed once for a sample, not for every position.

All sums over channels and positions are products of the matrix units, whose tiles have sixteen
rows. So a vector of a sample stands in ``16 / SAMPLES`` equal rows: the units have the room, and a
reduction across warps would cost more than the rows. The other samples' numbers are multiplied by
zero there, so what is not finite in one sample makes NaN of its program's others too.
"""

import triton
import triton.language as tl


@triton.jit
def _multiply(left, right, total, DOT: tl.constexpr, WIDEN: tl.constexpr):
    """Add a matrix product to a float32 total."""
    if WIDEN:  # Triton's interpreter multiplies bfloat16's bits as if they were integers
        left, right = left.to(tl.float32), right.to(tl.float32)
    return tl.dot(left, right, total, input_precision=DOT)


@triton.jit
def _relu(values):
    """Keep NaN, as torch does: an answer from numbers that overflowed must not look like one."""
    return tl.maximum(values, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _softmax(scores, known):
    """Softmax along the second axis over the columns that are known."""
    scores = tl.where(known[None, :], scores, float("-inf"))
    powers = tl.exp(scores - tl.max(scores, axis=1)[:, None])
    return powers / tl.sum(powers, axis=1)[:, None]


@triton.jit
def _once(rows, SAMPLES: tl.constexpr, HIDDEN: tl.constexpr):
    """Keep one of each sample's equal rows: (16, HIDDEN) -> (SAMPLES, HIDDEN)."""
    return tl.max(tl.reshape(rows, (SAMPLES, 16 // SAMPLES, HIDDEN)), axis=1)


# Compiled once for all batches, not anew for 1 and for multiples of 16.
@triton.jit(do_not_specialize=["batch"])
def attention_fusion_kernel(
    face_map,
    face_batch_stride,
    face_channel_stride,
    face_position_stride,
    context_map,
    context_batch_stride,
    context_channel_stride,
    context_position_stride,
    matrices,
    vectors,
    classifier,
    probabilities,
    logits,
    attention,
    stream_weights,
    batch,
    fusion_bias,
    inverse_temperature,
    CHANNELS: tl.constexpr,
    HIDDEN: tl.constexpr,
    CLASSES: tl.constexpr,
    PADDED_CLASSES: tl.constexpr,
    FACE_POSITIONS: tl.constexpr,
    PADDED_FACE: tl.constexpr,
    POSITIONS: tl.constexpr,
    PADDED: tl.constexpr,
    SAMPLES: tl.constexpr,
    STEP: tl.constexpr,
    DOT: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """Answer ``SAMPLES`` samples; see ``fused_core.pack`` for the order of the weights."""
    kind: tl.constexpr = matrices.dtype.element_ty
    matrix: tl.constexpr = CHANNELS * HIDDEN
    first = tl.program_id(0) * SAMPLES
    step = tl.arange(0, STEP)
    hidden = tl.arange(0, HIDDEN)
    # The sample that each row belongs to: of the sixteen, of the context's, and of the face's.
    owner = tl.arange(0, 16) // (16 // SAMPLES)
    context_row = tl.arange(0, SAMPLES * PADDED)
    face_row = tl.arange(0, SAMPLES * PADDED_FACE)
    context_owner, context_position = context_row // PADDED, context_row % PADDED
    face_owner, face_position = face_row // PADDED_FACE, face_row % PADDED_FACE
    # Padding reads zeros.
    context_inside = (first + context_owner < batch) & (context_position < POSITIONS)
    face_inside = (first + face_owner < batch) & (face_position < FACE_POSITIONS)
    # 64 bits, because a large batch of maps has more than 2**31 elements.
    context_rows = (
        context_map
        + (first + context_owner).to(tl.int64)[:, None] * context_batch_stride
        + context_position[:, None] * context_position_stride
        + step[None, :] * context_channel_stride
    )
    face_rows = (
        face_map
        + (first + face_owner).to(tl.int64)[:, None] * face_batch_stride
        + face_position[:, None] * face_position_stride
        + step[None, :] * face_channel_stride
    )
    # (STEP, HIDDEN) of the first matrix; the others follow it.
    tile = matrices + step[:, None] * HIDDEN + hidden[None, :]
    ones = (owner[:, None] == face_owner[None, :]).to(tl.float32).to(kind)

    asked = tl.zeros((16, HIDDEN), tl.float32)
    fusion_face = tl.zeros((16, HIDDEN), tl.float32)
    classifier_face = tl.zeros((16, HIDDEN), tl.float32)
    for start in range(0, CHANNELS, STEP):
        values = tl.load(
            face_rows + start * face_channel_stride, mask=face_inside[:, None], other=0.0
        )
        face = _multiply(ones, values, tl.zeros((16, STEP), tl.float32), DOT, WIDEN)
        face = (face * (1.0 / FACE_POSITIONS)).to(kind)
        asked = _multiply(face, tl.load(tile + start * HIDDEN), asked, DOT, WIDEN)
        weights = tl.load(tile + 2 * matrix + start * HIDDEN)
        fusion_face = _multiply(face, weights, fusion_face, DOT, WIDEN)
        weights = tl.load(tile + 4 * matrix + start * HIDDEN)
        classifier_face = _multiply(face, weights, classifier_face, DOT, WIDEN)

    scored = tl.zeros((SAMPLES * PADDED, HIDDEN), tl.float32)
    for start in range(0, CHANNELS, STEP):
        values = tl.load(
            context_rows + start * context_channel_stride, mask=context_inside[:, None], other=0.0
        )
        weights = tl.load(tile + matrix + start * HIDDEN)
        scored = _multiply(values, weights, scored, DOT, WIDEN)

    sample = first + tl.arange(0, SAMPLES)
    inside = sample < batch
    position = tl.arange(0, PADDED)
    real = position < POSITIONS
    # Score the positions. The score's bias is left out: it does not change the softmax.
    asked_once = _once(asked, SAMPLES, HIDDEN) + tl.load(vectors + hidden)[None, :]
    deep = tl.reshape(scored, (SAMPLES, PADDED, HIDDEN)) + asked_once[:, None, :]
    scale = tl.load(vectors + HIDDEN + hidden)[None, None, :]
    shift = tl.load(vectors + 2 * HIDDEN + hidden)[None, None, :]
    weight = tl.load(vectors + 3 * HIDDEN + hidden)[None, None, :]
    deep = _relu(_relu(deep) * scale + shift)
    attended = _softmax(tl.sum(deep * weight, axis=2), real)  # (SAMPLES, PADDED)
    tl.store(
        attention + sample[:, None] * POSITIONS + position[None, :],
        attended,
        mask=inside[:, None] & real[None, :],
    )

    spread = tl.reshape(attended, (1, SAMPLES * PADDED))
    spread = tl.where(owner[:, None] == context_owner[None, :], spread, 0.0).to(kind)
    fusion_context = tl.zeros((16, HIDDEN), tl.float32)
    classifier_context = tl.zeros((16, HIDDEN), tl.float32)
    for start in range(0, CHANNELS, STEP):
        values = tl.load(
            context_rows + start * context_channel_stride, mask=context_inside[:, None], other=0.0
        )
        context = _multiply(spread, values, tl.zeros((16, STEP), tl.float32), DOT, WIDEN).to(kind)
        weights = tl.load(tile + 3 * matrix + start * HIDDEN)
        fusion_context = _multiply(context, weights, fusion_context, DOT, WIDEN)
        weights = tl.load(tile + 5 * matrix + start * HIDDEN)
        classifier_context = _multiply(context, weights, classifier_context, DOT, WIDEN)

    # Of the two streams' scores only the difference counts.
    bias, weight = tl.load(vectors + 4 * HIDDEN + hidden), tl.load(vectors + 5 * HIDDEN + hidden)
    fusion_face = _relu(_once(fusion_face, SAMPLES, HIDDEN) + bias[None, :])
    difference = tl.sum(fusion_face * weight[None, :], axis=1) + fusion_bias
    bias, weight = tl.load(vectors + 6 * HIDDEN + hidden), tl.load(vectors + 7 * HIDDEN + hidden)
    fusion_context = _relu(_once(fusion_context, SAMPLES, HIDDEN) + bias[None, :])
    difference -= tl.sum(fusion_context * weight[None, :], axis=1)
    face_weight = 1.0 / (1.0 + tl.exp(-difference))
    context_weight = 1.0 / (1.0 + tl.exp(difference))
    tl.store(stream_weights + sample * 2, face_weight, mask=inside)
    tl.store(stream_weights + sample * 2 + 1, context_weight, mask=inside)

    fused = face_weight[:, None] * _once(classifier_face, SAMPLES, HIDDEN)
    fused += context_weight[:, None] * _once(classifier_context, SAMPLES, HIDDEN)
    fused = _relu(fused + tl.load(vectors + 8 * HIDDEN + hidden)[None, :])
    emotion = tl.arange(0, PADDED_CLASSES)
    known = emotion < CLASSES
    # Rows of HIDDEN weights, then the biases.
    rows = classifier + emotion[:, None] * HIDDEN + hidden[None, :]
    weights = tl.load(rows, mask=known[:, None], other=0.0)
    bias = tl.load(classifier + CLASSES * HIDDEN + emotion, mask=known, other=0.0)
    answers = tl.sum(fused[:, None, :] * weights[None, :, :], axis=2) + bias[None, :]
    place = sample[:, None] * CLASSES + emotion[None, :]
    wanted = inside[:, None] & known[None, :]
    tl.store(logits + place, answers, mask=wanted)
    tl.store(probabilities + place, _softmax(answers * inverse_temperature, known), mask=wanted)
