from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.shape_bias import shape_bias

ShapeBias = module_of(shape_bias)
