from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.learning_order import learning_order

LearningOrder = module_of(learning_order)
