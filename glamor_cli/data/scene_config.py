"""How many scenes to generate, and which. Free of NumPy, for the command line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SceneConfig:
    """How many scenes, and which.

    Attributes:
        train: Scenes in the split ``train``.
        validation: Scenes in the split ``validation``.
        test: Scenes in the split ``test``.
        seed: Scene i of a split depends on this, the split and i alone, so more scenes never
            change the first ones.
        scale: An image is 171 * scale wide and 128 * scale high.
        cues: Discs in a scene, 2 or 3; with two no ring is gray. Among three it is harder to
            learn to choose, and takes longer.
    """

    train: int = 6000
    validation: int = 500
    test: int = 1000
    seed: int = 0
    scale: int = 2
    cues: int = 2

    @property
    def counts(self) -> dict[str, int]:
        """Scenes by split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}
