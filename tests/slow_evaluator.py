"""One revision as its users load it, one image at a time: what the evaluation is compared with."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

REVISION = "epoch-001"


class Slow:
    """Shares no code with the package."""

    def __init__(self, store: Path, revision: str = REVISION) -> None:
        folder = store / "revisions" / revision
        self.model = CLIPModel.from_pretrained(folder, attn_implementation="eager").eval()
        self.processor = CLIPProcessor.from_pretrained(folder)

    def image(self, image: Any) -> np.ndarray:
        """Its embedding, at unit length."""
        inputs = self.processor(images=image, return_tensors="pt")
        with torch.no_grad():
            return _unit(self.model.get_image_features(**inputs).pooler_output[0].double().numpy())

    def text(self, text: str) -> np.ndarray:
        """Its embedding, at unit length."""
        inputs = self.processor(text=[text], return_tensors="pt", truncation=True, max_length=16)
        with torch.no_grad():
            return _unit(self.model.get_text_features(**inputs).pooler_output[0].double().numpy())

    def classes(self, names: list[str], templates: list[str]) -> np.ndarray:
        """A unit vector for each name: the mean over the templates."""
        texts = [[self.text(template.format(name)) for template in templates] for name in names]
        return np.array([_unit(np.mean(one, axis=0)) for one in texts])

    def seen(self, image: Image.Image) -> np.ndarray:
        """The pixels of the model's input, (H, W, 3), from 0 to 255."""
        batch = self.processor(images=image, return_tensors="np", do_rescale=False, do_normalize=False)
        return batch["pixel_values"][0].transpose(1, 2, 0).astype(np.float64)

    def states(self, image: Image.Image, **kwargs: Any) -> list[np.ndarray]:
        """The projection, (1, d), and each hidden state, (tokens, width)."""
        inputs = self.processor.image_processor(images=image, return_tensors="pt", **kwargs)
        with torch.no_grad():
            vision = self.model.vision_model(**inputs, output_hidden_states=True)
            projection = self.model.visual_projection(vision.pooler_output)
        return [projection.double().numpy(), *(state[0].double().numpy() for state in vision.hidden_states)]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
