// The vision tower of CLIP and its image processor, in plain JavaScript; the weights are those of tower.py.

function readBytes(text) { return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)); }

function readFloats(text) { return new Float32Array(readBytes(text).buffer); }

// The parts of a revision by name, each with its weight and bias, in the order in which tower.py wrote them.
function readTower(part, at) {
  let codes = new Int8Array(readBytes(part.codes[at]).buffer);
  let factors = readFloats(part.factors[at]);
  const tower = {};
  for (const [name, kind, rows, columns] of part.tensors) {
    const own = factors.subarray(0, rows); // a vector, or the factors of the rows of a matrix
    const whole = columns && codes.subarray(0, rows * columns);
    const weights = whole ? Float32Array.from(whole, (code, i) => code * own[Math.floor(i / columns)]) : own;
    (tower[name] ??= {})[kind] = weights;
    factors = factors.subarray(rows);
    codes = codes.subarray(whole?.length ?? 0);
  }
  return tower;
}

// ---------------------------------------------------------------- images

// One pass of Pillow's bicubic filter with antialiasing along the rows: (height, width, 3), turned.
function resizedRows(levels, height, width, length) {
  const scale = width / length;
  const stretch = Math.max(scale, 1);
  const cubic = (x) => {
    const at = Math.abs(x);
    if (at < 1) return (1.5 * at - 2.5) * at * at + 1;
    return at < 2 ? ((-0.5 * at + 2.5) * at - 4) * at + 2 : 0;
  };
  const turned = new Uint8ClampedArray(length * height * 3);
  for (let to = 0; to < length; to += 1) {
    const centre = (to + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - 2 * stretch + 0.5));
    const last = Math.min(width, Math.floor(centre + 2 * stretch + 0.5));
    const at = (i) => (first + i - centre + 0.5) / stretch;
    const weights = Array.from({ length: last - first }, (_, i) => cubic(at(i)));
    const total = weights.reduce((a, b) => a + b, 0);
    for (let row = 0; row < height; row += 1) {
      for (let channel = 0; channel < 3; channel += 1) {
        const start = (row * width + first) * 3 + channel;
        const sum = weights.reduce((before, weight, i) => before + weight * levels[start + 3 * i], 0);
        turned[(to * height + row) * 3 + channel] = Math.floor(sum / total + 0.5);
      }
    }
  }
  return turned;
}

// Resize the shorter edge to `side`, crop the middle: levels (side, side, 3) of an ImageData.
function prepared({ data, width, height }, side) {
  let levels = new Uint8ClampedArray(width * height * 3).map((_, i) => data[4 * Math.floor(i / 3) + (i % 3)]);
  const shorter = Math.min(width, height);
  const [wide, high] = [width, height].map((length) => Math.floor((side * length) / shorter));
  if (wide !== width || high !== height) {
    levels = resizedRows(levels, height, width, wide);
    levels = resizedRows(levels, wide, height, high);
  }
  const [left, top] = [Math.floor((wide - side) / 2), Math.floor((high - side) / 2)];
  const cropped = new Uint8ClampedArray(side * side * 3);
  for (let row = 0; row < side; row += 1) {
    const start = ((row + top) * wide + left) * 3;
    cropped.set(levels.subarray(start, start + side * 3), row * side * 3);
  }
  return cropped;
}

// ---------------------------------------------------------------- the tower

// The sum of products of `n` values of x from `i` on and of y from `j` on.
function dot(x, i, y, j, n) {
  let sum = 0;
  for (let at = 0; at < n; at += 1) sum += x[i + at] * y[j + at];
  return sum;
}

// x (n, from) times the transposed weight (to, from), plus a bias: (n, to).
function linear(x, n, { weight, bias }) {
  const from = x.length / n;
  const to = weight.length / from;
  return new Float32Array(n * to).map((_, at) => {
    const column = at % to;
    return (bias ? bias[column] : 0) + dot(x, ((at - column) / to) * from, weight, column * from, from);
  });
}

function normed(x, n, { weight, bias }, eps) {
  const width = x.length / n;
  const found = new Float32Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    const values = x.subarray(start, start + width);
    const mean = values.reduce((a, b) => a + b, 0) / width;
    const scale = 1 / Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / width + eps);
    found.set(values.map((value, i) => (value - mean) * scale * weight[i] + bias[i]), start);
  }
  return found;
}

// Self-attention of n tokens, and its weights (n, n) as the mean over the heads.
function attended(x, n, tower, layer, heads) {
  const width = x.length / n;
  const each = width / heads;
  const [q, k, v] = ["q", "k", "v"].map((name) => linear(x, n, tower[`${layer}.self_attn.${name}_proj`]));
  const [mixed, mean] = [new Float32Array(n * width), new Float32Array(n * n)];
  for (let start = 0; start < width; start += each) {
    for (let row = 0; row < n; row += 1) {
      const logits = Float64Array.from({ length: n }, (_, other) =>
        dot(q, row * width + start, k, other * width + start, each) / Math.sqrt(each));
      const largest = Math.max(...logits);
      const weights = logits.map((logit) => Math.exp(logit - largest));
      const total = weights.reduce((a, b) => a + b, 0);
      weights.forEach((weight, other) => {
        const share = weight / total;
        mean[row * n + other] += share / heads;
        for (let i = start; i < start + each; i += 1) mixed[row * width + i] += share * v[other * width + i];
      });
    }
  }
  return { mixed: linear(mixed, n, tower[`${layer}.self_attn.out_proj`]), mean };
}

// The error function to 2e-7 (Abramowitz and Stegun 7.1.26).
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const factors = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
  const near = 1 - factors.reduce((sum, factor) => sum * t + factor, 0) * t * Math.exp(-x * x);
  return x < 0 ? -near : near;
}

const ACTIVATIONS = {
  quick_gelu: (x) => x / (1 + Math.exp(-1.702 * x)),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
};

// The patches of an image as tokens, the class token first, with their positions.
function tokens(tower, part, levels) {
  const { image, patch, width } = part.size;
  const [grid, area] = [image / patch, patch * patch];
  const patches = new Float32Array(levels.length).map((_, at) => {
    const [place, c, inside] = [Math.floor(at / (3 * area)), Math.floor(at / area) % 3, at % area];
    const row = Math.floor(place / grid) * patch + Math.floor(inside / patch);
    const column = (place % grid) * patch + (inside % patch);
    return (levels[3 * (row * image + column) + c] - part.mean[c]) / part.deviation[c];
  });
  const x = new Float32Array((grid * grid + 1) * width);
  x.set(tower["vision_model.embeddings"].class_embedding);
  x.set(linear(patches, grid * grid, tower["vision_model.embeddings.patch_embedding"]), width);
  const positions = tower["vision_model.embeddings.position_embedding"].weight;
  return x.map((value, i) => value + positions[i]);
}

function embed(tower, part, levels) {
  const { heads, eps, width, activation, layers } = part.size;
  let x = tokens(tower, part, levels);
  const n = x.length / width;
  x = normed(x, n, tower["vision_model.pre_layrnorm"], eps);
  const means = [];
  for (let i = 0; i < layers; i += 1) {
    const layer = `vision_model.encoder.layers.${i}`;
    const of = (name) => tower[`${layer}.${name}`];
    const { mixed, mean } = attended(normed(x, n, of("layer_norm1"), eps), n, tower, layer, heads);
    means.push(mean);
    x = x.map((value, at) => value + mixed[at]);
    const hidden = linear(normed(x, n, of("layer_norm2"), eps), n, of("mlp.fc1")).map(ACTIVATIONS[activation]);
    const added = linear(hidden, n, of("mlp.fc2"));
    x = x.map((value, at) => value + added[at]);
  }
  const pooled = normed(x.subarray(0, width), 1, tower["vision_model.post_layernorm"], eps);
  const vector = linear(pooled, 1, tower.visual_projection);
  const length = Math.hypot(...vector) || 1;
  return { vector: vector.map((value) => value / length), attention: rolledOut(means, n) };
}

// Attention rollout from the class token to the patches (Abnar and Zuidema 2020), as in models/maps.py.
function rolledOut(means, n) {
  let flow = Float64Array.from({ length: n }, (_, i) => Number(i === 0));
  for (const mean of means.toReversed()) {
    const next = new Float64Array(n);
    mean.forEach((weight, at) => {
      const [row, i] = [Math.floor(at / n), at % n];
      next[i] += (flow[row] * (weight + Number(row === i))) / 2;
    });
    flow = next;
  }
  return flow.subarray(1);
}
