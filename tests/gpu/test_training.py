"""Training on a GPU: samples packed into a row give the gradients of separate samples."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import AttentionInterface

from llava_video.errors import InputError
from llava_video.train.attention import PACKED
from llava_video.train.devices import make_accelerator, shard
from llava_video.train.log import Log
from llava_video.train.loop import Batch, Loop, Notes, Objective
from llava_video.train.parameters import checkpoint_activations, compile_layers
from tests.model.small import small_model

CUDA = "cuda"
LENGTHS = (37, 5, 90, 64)
FLEX = "documents_by_flex_attention"


def flex_attention_by_documents(
    module: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any
) -> Any:
    """The reference: PyTorch's flex attention, over its own sample's earlier positions."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    ends = kwargs["cu_seq_lens_q"][1:]
    length = query.shape[2]
    sample = torch.searchsorted(ends, torch.arange(length, device=query.device), right=True)

    def is_visible(batch: Any, head: Any, q: Any, k: Any) -> Any:
        return (sample[q] == sample[k]) & (q >= k)

    blocks = create_block_mask(is_visible, None, None, length, length, device=query.device.type)
    attended = flex_attention(
        query, key, value, block_mask=blocks, scale=kwargs["scaling"], enable_gqa=True
    )
    return attended.transpose(1, 2), None


AttentionInterface.register(FLEX, flex_attention_by_documents)


def row_of(samples: list[torch.Tensor]) -> dict[str, Any]:
    """Samples one behind the other, as a collator passes them."""
    lengths = torch.tensor([0, *(len(sample) for sample in samples)])
    ends = lengths.cumsum(0).to(torch.int32).to(CUDA)
    positions = torch.cat([torch.arange(len(sample)) for sample in samples])[None].to(CUDA)
    longest = int(lengths.max())
    return {
        "input_ids": torch.cat(samples)[None].to(CUDA), "position_ids": positions,
        "cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": longest,
        "max_length_k": longest, "use_cache": False,
    }  # fmt: skip


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.grad.float() for n, p in model.named_parameters() if p.grad is not None}


def row_gradients(model: Any, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Gradients of the sum of squared logits of all rows."""
    model.zero_grad()
    for row in rows:
        model(**row).logits.float().square().sum().backward()
    return gradients(model)


@pytest.mark.parametrize("other", ["alone", FLEX])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_row_has_the_gradients_of(other: str, dtype: torch.dtype) -> None:
    model = small_model().to(CUDA, dtype)
    torch.manual_seed(1)
    samples = [torch.randint(5, 290, (length,)) for length in LENGTHS]
    model.set_attn_implementation({"text_config": PACKED})
    packed = row_gradients(model, [row_of(samples)])
    if other == "alone":
        expected = row_gradients(model, [row_of([sample]) for sample in samples])
    else:
        model.set_attn_implementation({"text_config": FLEX})
        expected = row_gradients(model, [row_of(samples)])
    tolerance = 1e-4 if dtype == torch.float32 else 5e-2
    assert packed.keys() == expected.keys()
    for name, gradient in packed.items():
        difference = (gradient - expected[name]).norm() / expected[name].norm().clamp(min=1e-6)
        assert difference <= tolerance, name


@pytest.mark.parametrize("recomputes", [False, True])
def test_compiled_layers_have_the_same_gradients(recomputes: bool) -> None:
    model = small_model().to(CUDA)
    model.set_attn_implementation({"text_config": PACKED})
    torch.manual_seed(1)
    rows = [[torch.randint(5, 290, (n,)) for n in lengths] for lengths in (LENGTHS, (50, 7), (33,))]
    expected = row_gradients(model, [row_of(samples) for samples in rows])
    if recomputes:
        checkpoint_activations(model)
        model.train()
    compile_layers(model)
    given = row_gradients(model, [row_of(samples) for samples in rows])
    assert given.keys() == expected.keys()
    for name, gradient in given.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-4)


def test_weights_split_on_one_device_train_the_same(tmp_path: Any) -> None:
    """FSDP2 over one GPU: the gradients of the plain model."""
    from accelerate import PartialState

    model = small_model().to(CUDA)
    sample = row_of([torch.arange(5, 60)])
    model.set_attn_implementation({"text_config": PACKED})
    expected = row_gradients(model, [sample])
    torch.distributed.init_process_group(
        "nccl", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        split = small_model()
        split.set_attn_implementation({"text_config": PACKED})
        if not hasattr(FSDPModule, "set_reduce_scatter_unused_params"):
            with pytest.raises(InputError, match=r"PyTorch 2\.13"):
                shard(split, PartialState(), torch.float32)
            return
        shard(split, PartialState(), torch.float32)
        given = row_gradients(split, [sample])
        assert given.keys() >= expected.keys()
        for name, gradient in given.items():
            whole = gradient.full_tensor()  # type: ignore[operator]
            wanted = expected.get(name, torch.zeros_like(whole))  # parts that no sample has used
            torch.testing.assert_close(whole, wanted, rtol=1e-4, atol=1e-5)
    finally:
        torch.distributed.destroy_process_group()


class Squares(Objective):
    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Notes]:
        squares = model(batch["x"]).float().square()
        return squares.mean(), {"squares": squares}


def test_an_update_waits_for_the_device_once(tmp_path: Path) -> None:
    accelerator = make_accelerator()
    model = accelerator.prepare_model(nn.Linear(8, 8))
    optimizer = AdamW(model.parameters(), lr=0.1, fused=True)
    loader = DataLoader([{"x": torch.rand(4, 8)}] * 6, batch_size=None, pin_memory=True)
    with Log(tmp_path, accelerator, bar=False) as log, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loop = Loop(
            accelerator, model, Squares(), optimizer, LambdaLR(optimizer, lambda _: 1.0), log,
            folder=tmp_path, num_steps=3, batches_per_update=2, autocast_dtype=torch.bfloat16,
            save=lambda *_: None,
        )  # fmt: skip
        torch.cuda.set_sync_debug_mode("warn")
        try:
            loop.run(loader)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [w for w in said if "synchronizing CUDA operation" in str(w.message)]
    assert len(waits) == loop.step == 3
