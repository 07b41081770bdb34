"""What the tests of the metric modules and of their Spaces put into each of them."""

import numpy as np

FEATURES = ("predictions", "references")
N = 24


def example(name: str) -> tuple[dict, dict]:
    """Inputs of a module, N rows each, and the keywords that go once with all rows, in their order."""
    return examples()[name]


def examples() -> dict[str, tuple[dict, dict]]:
    """The example of each module."""
    rng = np.random.default_rng(0)
    labels = ["cat", "dog", "car"]
    shapes = [labels[i % 3] for i in range(N)]
    points = (rng.random((N, 5, 2)) * [5, 4]).tolist()
    return {
        "shape_bias": (
            {
                "predictions": [labels[i] for i in rng.integers(0, 3, N)],
                "shapes": shapes,
                "textures": [labels[(i // 3 + i) % 3] for i in range(N)],
            },
            {"classes": labels, "groups": [[f"cat{i % 6}", f"dog{i // 6}"] for i in range(N)]},
        ),
        "cue_preference": (
            {"distances_shape": rng.random(N).tolist(), "distances_texture": rng.random(N).tolist()},
            {
                "anchors": [f"cat{i % 6}-dog{i // 6}" for i in range(N)],
                "images": [[f"cat{i % 6}", f"cat{(i + 1) % 6}", f"dog{i // 6}"] for i in range(N)],
            },
        ),
        "error_consistency": ({name: (rng.random(N) < 0.7).tolist() for name in FEATURES}, {}),
        "iqa_correlation": (
            {"predictions": rng.random(N).tolist(), "references": rng.random(N).tolist()},
            {"groups": [f"I{i % 8:02d}" for i in range(N)], "logistic": 4},
        ),
        "two_afc": (
            {name: rng.random(N).tolist() for name in ("distances_0", "distances_1", "judgements")},
            {"images": [[f"m{i % 8}", f"m{(i + 1) % 8}", f"m{(3 * i + 2) % 8}"] for i in range(N)]},
        ),
        "jnd_map": (
            {"distances": rng.random(N).tolist(), "same": rng.random(N).tolist()},
            {"groups": [i // 2 for i in range(N)]},
        ),
        "saliency": (
            {"predictions": rng.random((N, 4, 5)).tolist(), "fixations": points},
            {
                "densities": rng.random((N, 4, 5)).tolist(),
                "other_fixations": points[::-1],
                "baseline": rng.random((4, 5)).tolist(),
            },
        ),
        "noise_robustness": (
            {
                "predictions": [0] * 8 + rng.integers(0, 2, 16).tolist(),
                "references": [0] * 8 * 3,
                "sigmas": [0.0] * 8 + [0.2] * 8 + [0.1] * 8,
            },
            {"groups": list(range(8)) * 3, "n_classes": 10},
        ),
        "learning_order": (
            {"right": (rng.random((N, 4, 9)) < 0.6).tolist()},
            {"groups": [f"image{i // 2}" for i in range(9)]},
        ),
        "zero_shot_accuracy": (
            {
                "predictions": [rng.permutation(7).tolist() for _ in range(N)],
                "references": rng.integers(0, 7, N).tolist(),
            },
            {"n_classes": 7},
        ),
        "contrastive_geometry": (
            {side: rng.normal(size=(N, 4)).tolist() for side in ("images", "texts")},
            {"groups": [f"image{i // 2}" for i in range(N)]},
        ),
        "representation_similarity": (
            {"x": rng.normal(size=(N, 3)).tolist(), "y": rng.normal(size=(N, 5)).tolist()},
            {"groups": [i // 2 for i in range(N)]},
        ),
    }
