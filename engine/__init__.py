"""The language model: write explicit memories, answer with them, attribute the answer to them."""

import os

# read by libraries when they are first imported: their progress bars and advice are not for our users
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# oneDNN keeps compiled kernels for the last 1024 shapes it met, hundreds of megabytes once texts of every
# length have been embedded
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
