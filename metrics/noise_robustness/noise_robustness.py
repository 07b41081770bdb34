from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.noise_robustness import noise_robustness

NoiseRobustness = module_of(noise_robustness)
