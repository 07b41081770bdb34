from hf_clipdyn.metric_module import module_of
from hf_clipdyn.metrics.cue_preference import cue_preference

CuePreference = module_of(cue_preference)
