"""The main job, a file a step: `request` (what is asked), `assemble` (the model and its task), `data_split`, `search`
(which recipes), `lower` (export to targets), `prove` (answers like the model's), `explore` and `rows` (the loop over
them), `write` (the Bundle); `deploy` and `export` run them in order.
"""
