"""Chain events as resumable streams for thousands of consumers (docs/events.md).

Pure, without I/O: `cursor` (what is told), `filters`, `arguments`, `blocks` (a block's events, encoded once),
`window` (the newest blocks, shared by all streams), `walk` (where one stream is), `outstanding` (what one
consumer has not acknowledged). Around them: `wishes` (checks the filter that a consumer writes), `archive`
(reads and decodes blocks), `reader` (moves the window after the follower), `checkpoints` (acknowledgements,
many to a commit), `takeovers` (which stream of a consumer is the newest), `subscription` (one stream), `hub`
(all of them), `streams` (puts them together). `consumers` is what the database keeps of each consumer.
"""
