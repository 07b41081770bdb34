"""One module for each data set; `hf_clipdyn.data.base` shows how to add one."""
