"""Augmentation of whole batches in training: the authors' and more.

Theirs is in docs/official-program.md, Augmentation.

Every random number comes from what is passed in, drawn on its generator's device, so a run can be
repeated and a CPU's and a GPU's batches are augmented alike. Black stays black throughout:
zeros mean "no face here", and the network must not see them brightened.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from glamor_cli.data.batches.draws import Draws
from glamor_cli.network.config import CONTEXT_SIZE
from glamor_cli.network.gray import LUMA

PAPER_DEGREES = 20.0
"""The authors rotate faces by up to this angle, in degrees, either way."""

_BLUR_REACH = 2
"""A blur's kernel ends this many of its largest standard deviations from its centre."""
_SHARPENED_DEVIATION = 1.0
"""Of the blur that an unsharp mask compares with, in pixels."""
_ERASED_SHARE = (0.02, 0.25)
_ERASED_ASPECT = (0.5, 2.0)


def to_float(batch: Tensor) -> Tensor:
    """Bring a batch, uint8 (B, H, W, 3) as the pair store keeps it, to float32 (B, 3, H, W)."""
    return batch.permute(0, 3, 1, 2).float().div_(255)


def random_flip(faces: Tensor, draws: Draws) -> Tensor:
    """Mirror each image left to right with probability one half.

    Args:
        faces: (B, 3, H, W).
        draws: The source of randomness.
    """
    flip = _chance(faces, 0.5, draws)
    return torch.where(flip[:, None, None, None], faces.flip(3), faces)


def rotate(faces: Tensor, degrees: Tensor) -> Tensor:
    """Rotate each image about its centre; bilinear, the border repeated outwards.

    Args:
        faces: (B, 3, H, W) with H = W.
        degrees: (B); positive turns counter-clockwise on screen.
    """
    angles = torch.deg2rad(degrees)
    return _warp(faces, _rotation(angles.cos(), angles.sin()))


def random_crop(contexts: Tensor, draws: Draws) -> Tensor:
    """Cut a 112x112 window out of each context, every place equally likely.

    Args:
        contexts: (B, 3, 128, 171).
        draws: The source of randomness.

    Returns:
        (B, 3, 112, 112).
    """
    batch, _, height, width = contexts.shape
    tops = draws.integers(batch, height - CONTEXT_SIZE + 1).to(contexts.device)
    lefts = draws.integers(batch, width - CONTEXT_SIZE + 1).to(contexts.device)
    # Every window as a view, (B, C, tops, lefts, 112, 112); indexing copies only those chosen.
    windows = contexts.unfold(2, CONTEXT_SIZE, 1).unfold(3, CONTEXT_SIZE, 1)
    return windows[torch.arange(batch, device=contexts.device), :, tops, lefts]


@dataclass(frozen=True)
class FaceAugmentation:
    """What training does to faces; as it stands, the authors' program.

    Attributes:
        flip: Mirror half of them left to right.
        degrees: Largest rotation, either way.
        scale: Smallest and largest zoom; above 1 the face grows.
        shift: Largest displacement along each axis, as a share of the image's size; zoom and
            rotation come after it and carry the face along, up to half as far again.
        brightness: Values are multiplied by 1 plus or minus up to this.
        contrast: Distances from the image's mean are multiplied by 1 plus or minus up to this.
        gray: Share of the images turned gray.
        blur: Largest standard deviation of a Gaussian blur, in pixels; each image draws its own.
        sharpen: Largest strength of an unsharp mask: how often the difference to a copy blurred by
            one pixel is added.
        erase: Share of the images of which a rectangle is replaced by the image's mean.
    """

    flip: bool = True
    degrees: float = PAPER_DEGREES
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gray: float = 0.0
    blur: float = 0.0
    sharpen: float = 0.0
    erase: float = 0.0

    def __call__(self, faces: Tensor, draws: Draws) -> Tensor:
        """Augment a batch.

        Args:
            faces: float32 (B, 3, H, W) with H = W, RGB in [0, 1].
            draws: The source of randomness.

        Returns:
            A batch of the same shape.
        """
        faces = self._move(faces, draws)
        if self.blur:
            faces = _blur(faces, _uniform(faces, 0, self.blur, draws), self.blur)
        if self.sharpen:
            faces = _random_sharpen(faces, self.sharpen, draws)
        faces = _jitter(faces, self.brightness, self.contrast, self.gray, draws)
        if self.erase:
            faces = _random_erase(faces, self.erase, draws)
        return faces

    def _move(self, faces: Tensor, draws: Draws) -> Tensor:
        """Flip, rotate, zoom and shift by sampling once."""
        if not self.degrees and not self.shift and self.scale == (1.0, 1.0):
            return random_flip(faces, draws) if self.flip else faces
        angles = torch.deg2rad(_uniform(faces, -self.degrees, self.degrees, draws))
        zoom = _uniform(faces, *self.scale, draws)
        matrix = _rotation(angles.cos() / zoom, angles.sin() / zoom)
        # Coordinates run from -1 to 1, so a share of the size counts twice.
        for axis in (0, 1):
            matrix[:, axis, 2] = _uniform(faces, -2 * self.shift, 2 * self.shift, draws)
        if self.flip:
            flip = _chance(faces, 0.5, draws)
            matrix[:, 0] *= torch.where(flip, -1.0, 1.0)[:, None]
        return _warp(faces, matrix)


@dataclass(frozen=True)
class ContextAugmentation:
    """What training does to contexts, beside a random crop; as it stands, the authors' program.

    Attributes:
        flip: Mirror half of them left to right.
        brightness: Values are multiplied by 1 plus or minus up to this.
        contrast: Distances from the image's mean are multiplied by 1 plus or minus up to this.
        gray: Share of the images turned gray.
        erase: Share of the images of which a rectangle is replaced by the image's mean.
    """

    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    gray: float = 0.0
    erase: float = 0.0

    def __call__(self, contexts: Tensor, draws: Draws) -> Tensor:
        """Augment a batch.

        Args:
            contexts: float32 (B, 3, 128, 171), RGB in [0, 1].
            draws: The source of randomness.

        Returns:
            float32 (B, 3, 112, 112), RGB in [0, 1].
        """
        crops = random_crop(contexts, draws)
        if self.flip:
            crops = random_flip(crops, draws)
        crops = _jitter(crops, self.brightness, self.contrast, self.gray, draws)
        if self.erase:
            crops = _random_erase(crops, self.erase, draws)
        return crops


def _uniform(images: Tensor, low: float, high: float, draws: Draws) -> Tensor:
    """Draw one number for each image, on the images' device."""
    return (low + (high - low) * draws.uniform(len(images))).to(images.device)


def _chance(images: Tensor, probability: float, draws: Draws) -> Tensor:
    """Draw for each image whether something happens to it."""
    return _uniform(images, 0, 1, draws) < probability


def _rotation(cosine: Tensor, sine: Tensor) -> Tensor:
    """Matrices (B, 2, 3) from a place in the rotated image to its place in the original."""
    zero = torch.zeros_like(cosine)
    upper = torch.stack((cosine, -sine, zero), dim=1)
    return torch.stack((upper, torch.stack((sine, cosine, zero), dim=1)), dim=1)


def _warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Sample images at affinely moved places, (B, C, H, W) and (B, 2, 3)."""
    # In float64, since places rounded to float32 move the values by 6e-6.
    grid = F.affine_grid(matrix.double(), list(images.shape), align_corners=False)
    moved = F.grid_sample(images.double(), grid, "bilinear", "border", align_corners=False)
    return moved.to(images.dtype)


def _jitter(
    images: Tensor, brightness: float, contrast: float, gray: float, draws: Draws
) -> Tensor:
    """Change brightness, contrast and colour, each image by its own draw."""
    if gray:
        luma = torch.einsum("bchw,c->bhw", images, images.new_tensor(LUMA))[:, None]
        chosen = _chance(images, gray, draws)[:, None, None, None]
        images = torch.where(chosen, luma, images)
    if brightness or contrast:
        gain = _uniform(images, 1 - brightness, 1 + brightness, draws)[:, None, None, None]
        slope = _uniform(images, 1 - contrast, 1 + contrast, draws)[:, None, None, None]
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        black = images.amax(dim=1, keepdim=True) == 0
        # gain * (slope * (x - mean) + mean), in one pass over the pixels
        images = torch.addcmul(gain * (1 - slope) * mean, images, gain * slope).clamp_(0, 1)
        images = images.masked_fill_(black, 0)
    return images


def _blur(images: Tensor, deviation: Tensor, limit: float) -> Tensor:
    """Blur each image by its own Gaussian: (B) standard deviations up to the limit, in pixels."""
    batch, channels, height, width = images.shape
    reach = max(1, round(_BLUR_REACH * limit))
    offsets = torch.arange(-reach, reach + 1, device=images.device)
    # A deviation of zero would divide by zero; this small one leaves the image as it is.
    kernel = torch.exp(-0.5 * (offsets / deviation.clamp(min=0.05)[:, None]) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    kernel = kernel.repeat_interleave(channels, dim=0)[:, None]  # (B * C, 1, taps)
    flat = images.reshape(1, batch * channels, height, width)
    flat = F.pad(flat, (reach, reach, reach, reach), mode="replicate")
    flat = F.conv2d(flat, kernel[:, :, None, :], groups=batch * channels)
    flat = F.conv2d(flat, kernel[:, :, :, None], groups=batch * channels)
    return flat.view(batch, channels, height, width)


def _random_sharpen(images: Tensor, limit: float, draws: Draws) -> Tensor:
    """Add to each image its own share of what a blur takes from it; black stays black."""
    deviation = images.new_full((len(images),), _SHARPENED_DEVIATION)
    strength = _uniform(images, 0, limit, draws)[:, None, None, None]
    lost = images - _blur(images, deviation, _SHARPENED_DEVIATION)
    return torch.addcmul(images, strength, lost).clamp_(0, 1)


def _random_erase(images: Tensor, probability: float, draws: Draws) -> Tensor:
    """Replace a rectangle of some images by the image's mean colour."""
    height, width = images.shape[2:]
    chosen = _chance(images, probability, draws)
    area = _uniform(images, *_ERASED_SHARE, draws)
    aspect = _uniform(images, *_ERASED_ASPECT, draws)

    def span(size: int, share: Tensor) -> Tensor:
        """Mark (B, size) positions inside a stretch of the given share at a random place."""
        start = _uniform(images, 0, 1, draws) * (1 - share)
        centres = (torch.arange(size, device=images.device) + 0.5) / size
        return (centres >= start[:, None]) & (centres < (start + share)[:, None])

    rows, columns = span(height, (area * aspect).sqrt()), span(width, (area / aspect).sqrt())
    erased = (chosen[:, None, None] & rows[:, :, None] & columns[:, None, :])[:, None]
    return torch.where(erased, images.mean(dim=(2, 3), keepdim=True), images)
