"""Designs of coverage_designs.py for saliency, distributions of labels, triplets, psychophysics and embeddings."""

from functools import cache, partial

import numpy as np
from coverage_designs import DESIGNS, Data, Design, Floats, Known, always, known, rows_of_means
from scipy import stats

from hf_clipdyn.metrics.cka import cka
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
from hf_clipdyn.metrics.influence import left_out_influence
from hf_clipdyn.metrics.label_distribution import label_distribution
from hf_clipdyn.metrics.mutual_knn import mutual_knn
from hf_clipdyn.metrics.odd_one_out import odd_one_out_scores
from hf_clipdyn.metrics.psychophysics import agreement, flat_log_rmse
from hf_clipdyn.metrics.rsa import rsa
from hf_clipdyn.metrics.scores import mean, over, root_interval

# --- distributions over images -----------------------------------------------------------------------------------

BETA_AUC, GAMMA_NSS, GAMMA_KL = (8.0, 0.6), (0.8, 3.0), (2.0, 0.4)


def of_images(rng: np.random.Generator, n: int) -> Data:
    """Scores of images as broad and skewed as those of saliency maps: AUC, NSS, KL, IG and CC."""
    rows = {
        "auc, broad": rng.beta(3.5, 1.5, n),
        "auc, skewed": rng.beta(*BETA_AUC, n),
        "nss": rng.gamma(*GAMMA_NSS, n),
        "kl": rng.gamma(*GAMMA_KL, n),
        "ig": 1.0 + rng.standard_t(5, n),
        "cc": np.tanh(0.9 + 0.4 * rng.normal(size=n)),
    }
    return rows, None


SCALES = {
    "auc, broad": "share",
    "auc, skewed": "share",
    "nss": "linear",
    "kl": "linear",
    "ig": "linear",
    "cc": "correlation",
}
DESIGNS["saliency, means over images"] = Design(
    of_images,
    partial(rows_of_means, scales=SCALES),
    always(
        {
            "auc, broad": 0.7,
            "auc, skewed": 8 / 8.6,
            "nss": 2.4,
            "kl": 0.8,
            "ig": 1.0,
            "cc": float(stats.norm.expect(lambda x: np.tanh(0.9 + 0.4 * x))),
        }
    ),
    (8, 20, 50, 100, 700),
    metric="saliency",
)


def doubted(rng: np.random.Generator, n: int) -> Data:
    """Ten classes; 40 people doubt about some images more than about others, and so does the model."""
    labels = np.arange(n) % 10
    doubt = rng.uniform(0.3, 2.0, n)[:, None]
    scores = 3 * np.eye(10)[labels] + 0.5 * rng.normal(size=(n, 10))
    people = softmax(scores / doubt)
    counts = np.stack([rng.multinomial(40, one) for one in people])
    model = softmax((scores + 0.4 * rng.normal(size=(n, 10))) / (doubt * np.exp(rng.normal(0, 0.5, (n, 1)))))
    return model, counts, labels


def softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


LABELS = {
    "cross_entropy": "linear",
    "kl": "linear",
    "entropy_spearman": "correlation",
}


def of_labels(data: Data) -> dict[str, Known]:
    groups = np.arange(len(data[0])) % 100
    found = label_distribution(*data, groups=groups)
    return {
        name: Known(found[name].value, over(found[name].influence, None), scale)
        for name, scale in LABELS.items()
        if np.isfinite(found[name].value)
    }


@cache
def truth_of_labels() -> dict[str, float]:
    many = label_distribution(*doubted(np.random.default_rng(10**6), 200_000), groups=np.arange(200_000) % 2)
    return {name: many[name].value for name in LABELS}


DESIGNS["label distribution"] = Design(
    doubted,
    of_labels,
    lambda _: truth_of_labels(),
    (20, 50, 1000),
    metric="label_distribution",
)


@cache
def object_triplets(n: int) -> Floats:
    rng = np.random.default_rng(0)
    return np.array([rng.choice(n, 3, replace=False) for _ in range(min(40 * n, 4000))])


def odd_ones(rng: np.random.Generator, n: int, noise: float) -> Data:
    """People and a model see objects as points, each with its own noise at each judgement."""
    triplets, points = object_triplets(n), rng.normal(size=(n, 3))
    places = points[triplets]
    model = (points + noise * rng.normal(size=points.shape))[triplets]
    return (
        similarities(model),
        similarities(places + 0.3 * rng.normal(size=places.shape)).argmax(axis=1),
        triplets,
    )


def similarities(places: Floats) -> Floats:
    """Of the pair without each image, (n, 3)."""
    return np.stack(
        [-np.linalg.norm(places[:, (k + 1) % 3] - places[:, (k + 2) % 3], axis=1) for k in range(3)], axis=1
    )


def of_odd_ones(data: Data) -> dict[str, Known]:
    scores, _ = odd_one_out_scores(*data[:2])
    return {"accuracy": known(mean(scores, "share"), images=data[2])}


@cache
def truth_of_odd_ones(noise: float) -> dict[str, float]:
    rng = np.random.default_rng(10**6)
    places = rng.normal(size=(1_000_000, 3, 3))
    model = similarities(places + noise * rng.normal(size=places.shape))
    odd = similarities(places + 0.3 * rng.normal(size=places.shape)).argmax(axis=1)
    return {"accuracy": float((model.argmax(axis=1) == odd).mean())}


for at in (0.7, 0.05):
    DESIGNS[f"odd one out, noise {at:g}"] = Design(
        partial(odd_ones, noise=at),
        of_odd_ones,
        lambda _, at=at: truth_of_odd_ones(at),
        (8, 20, 48, 200),
        metric="odd_one_out",
    )

# --- psychophysics -----------------------------------------------------------------------------------------------

CONDITIONS = np.linspace(-2, -0.5, 10)


def contrasts(rng: np.random.Generator, n: int, error: float, noise: float) -> Data:
    """log10 contrasts of equal response by exemplar (n, conditions); people's are `CONDITIONS`."""
    truth = CONDITIONS + error * np.cos(3 * CONDITIONS)
    return (truth + noise * (rng.normal(size=(n, 1)) + rng.standard_t(6, size=(n, 10))),)


def of_contrasts(data: Data) -> dict[str, Known]:
    (logs,) = data
    n = len(logs)
    means = np.concatenate([logs.mean(axis=0)[None], (logs.sum(axis=0) - logs) / (n - 1)])
    found = agreement(10**means, 10**CONDITIONS)
    columns = {
        "log_rmse": found.log_rmse,
        "alignment": found.alignment,
        "contrast": means[:, 0],
    }
    low, high = root_interval(found.log_rmse[0], found.log_rmse[1:])
    of_flat = flat_log_rmse(10**CONDITIONS)
    ends = {"log_rmse": (low, high), "alignment": (1 - high / of_flat, 1 - low / of_flat)}
    return {
        name: Known(float(values[0]), over(left_out_influence(values[1:]), None), "linear", ends.get(name))
        for name, values in columns.items()
    }


def truth_of_contrasts(error: float) -> dict[str, float]:
    truth = CONDITIONS + error * np.cos(3 * CONDITIONS)
    found = agreement(10**truth, 10**CONDITIONS)
    return {
        "log_rmse": float(found.log_rmse),
        "alignment": float(found.alignment),
        "contrast": float(truth[0]),
    }


for error, noise in ((0.3, 0.1), (0.03, 0.1), (0.3, 0.4)):
    DESIGNS[f"contrasts, error {error:g}, noise {noise:g}"] = Design(
        partial(contrasts, error=error, noise=noise),
        of_contrasts,
        always(truth_of_contrasts(error)),
        (4, 8, 20, 50),
        metric="psychophysics",
    )

# --- embeddings --------------------------------------------------------------------------------------------------


def two_views(rng: np.random.Generator, n: int, noise: float) -> Data:
    """Two embeddings of the same items, of 12 dimensions with unlike variances."""
    spread = np.arange(1, 13) ** -0.5
    shared = spread * rng.normal(size=(n, 12))
    weight = 0.0 if np.isinf(noise) else 1.0
    return tuple(weight * shared + min(noise, 1.0) * spread * rng.normal(size=(n, 12)) for _ in range(2))


def of_views(data: Data) -> dict[str, Known]:
    return {"cka_debiased": known(cka(*data)["cka_debiased"])}


@cache
def truth_of_views(noise: float) -> dict[str, float]:
    square = 0.0 if np.isinf(noise) else 1 / (1 + noise**2) ** 2
    return {"cka_debiased": square}


for at in (np.inf, 0.8, 0.2):
    DESIGNS[f"cka, noise {at:g}"] = Design(
        partial(two_views, noise=at),
        of_views,
        lambda _, at=at: truth_of_views(at),
        (20, 50, 200),
        metric="cka",
    )


def of_neighbours(data: Data) -> dict[str, Known]:
    return {"mutual_knn": known(mutual_knn(*data, k=5)["mutual_knn"])}


@cache
def truth_of_neighbours(noise: float, n: int) -> dict[str, float]:
    rngs = [np.random.default_rng(10**6 + at) for at in range(400)]
    return {
        "mutual_knn": float(
            np.mean([mutual_knn(*two_views(rng, n, noise), k=5)["mutual_knn"].value for rng in rngs])
        )
    }


for at in (0.8, 0.2):
    DESIGNS[f"mutual knn, noise {at:g}"] = Design(
        partial(two_views, noise=at),
        of_neighbours,
        partial(truth_of_neighbours, at),
        (20, 50, 200),
        metric="mutual_knn",
    )


def dissimilarities(rng: np.random.Generator, n: int, people: int) -> Data:
    """Images and people are drawn; a model and people see noisy versions of the same images."""
    latent = rng.normal(size=(n, 3))
    first, second = np.triu_indices(n, 1)

    def seen(sd: float) -> Floats:
        place = latent + rng.normal(0, sd, latent.shape)
        return np.linalg.norm(place[first] - place[second], axis=1)

    return seen(0.7), np.stack([seen(rng.uniform(0.5, 1.5)) for _ in range(people)])


def of_dissimilarities(data: Data) -> dict[str, Known]:
    found = rsa(*data)
    n, people = found.facts["n_images"], found.facts["n_people"]
    crossed = np.stack(np.divmod(np.arange(n * people), people), axis=1)
    return {"alignment": known(found["alignment"], crossed)}


@cache
def truth_of_dissimilarities(n: int, people: int) -> dict[str, float]:
    found = []
    for at in range(3000):
        model, persons = dissimilarities(np.random.default_rng(10**6 + at), n, 2)
        found.append(rsa(model, persons)["alignment"].value)
    return {"alignment": float(np.mean(found))}


for images, people in ((24, 8), (40, 8), (92, 4)):
    DESIGNS[f"rsa, {images} images"] = Design(
        lambda rng, people, images=images: dissimilarities(rng, images, people),
        of_dissimilarities,
        lambda people, images=images: truth_of_dissimilarities(images, people),
        (people,),
        metric="rsa",
    )


GEOMETRY = ("gap", "alignment", "uniformity_image", "effective_rank_image")


def paired(rng: np.random.Generator, n: int) -> Data:
    images = rng.normal(size=(n, 8)) * np.arange(1, 9) ** -0.5 + 0.5
    return images, images + 0.5 * rng.normal(size=images.shape) - 0.8 * np.eye(8)[0]


def of_geometry(data: Data) -> dict[str, Known]:
    found = contrastive_geometry(*data)
    return {name: known(found[name]) for name in GEOMETRY}


@cache
def truth_of_geometry(n: int) -> dict[str, float]:
    """Of as many pairs: ranks and gaps depend on them."""
    draws = [
        contrastive_geometry(*paired(np.random.default_rng(10**6 + at), n))
        for at in range(2000 if n < 200 else 500)
    ]
    return {name: float(np.mean([one[name].value for one in draws])) for name in GEOMETRY}


DESIGNS["geometry"] = Design(
    paired, of_geometry, truth_of_geometry, (20, 50, 200), metric="contrastive_geometry"
)
