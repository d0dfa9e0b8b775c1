"""What is compared is what its name says (tests.bench.token_selection)."""

import torch

from engine.adapt.batch import Batch
from engine.adapt.losses import write_live
from engine.format import MemoryFormat
from engine.loading import LoadedModel
from engine.selection import select
from tests.bench.token_selection import Candidates, echoed

DENSE = MemoryFormat((0, 1, 2, 3), codec="fp32")


def test_an_echo_is_the_second_half_of_a_text_said_twice(tiny_loaded: LoadedModel) -> None:
    references = [list(range(40, 40 + n)) for n in (50, 7, 64)]
    transformer = tiny_loaded.transformer
    echo = echoed(transformer, DENSE, references)
    twice = write_live(transformer, DENSE, [reference * 2 for reference in references])
    for layer in DENSE.layers:
        _, values = echo.memories[layer]
        _, expected = twice.memories[layer]
        for i, n in enumerate(map(len, references)):
            torch.testing.assert_close(values[i, :, :n], expected[i, :, n : 2 * n], atol=1e-4, rtol=1e-4)


def test_keys_of_an_echo_lie_where_the_reference_was_read_once(tiny_loaded: LoadedModel) -> None:
    """In the first layer keys depend on their own token and place alone."""
    references = [list(range(40, 90))]
    transformer = tiny_loaded.transformer
    echo, once = (write(transformer, DENSE, references) for write in (echoed, write_live))
    torch.testing.assert_close(
        echo.memories[0][0][0, :, :50], once.memories[0][0][0, :, :50], atol=1e-4, rtol=1e-4
    )


def test_every_candidate_keeps_tokens_of_its_reference_only(tiny_loaded: LoadedModel) -> None:
    torch.manual_seed(0)
    lengths = [100, 9]
    queries, keys, values = torch.randn(2, 6, 128, 8), torch.randn(2, 2, 128, 8), torch.randn(2, 2, 128, 8)
    candidates = Candidates(tiny_loaded.transformer)
    candidates.look_at(Batch(tuple(tuple(range(30, 30 + n)) for n in lengths), ()))
    candidates.tokens_per_head = 16
    for name, rule in candidates.rules().items():
        kept = select(rule(queries, keys, values, lengths, 8**-0.5), 16)
        assert int(kept[0].max()) < 100, name
        assert kept[1].tolist() == [[*range(9), *[8] * 7]] * 2, name
