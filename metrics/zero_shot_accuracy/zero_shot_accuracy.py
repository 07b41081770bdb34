from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

ZeroShotAccuracy = module_of(zero_shot_accuracy)
