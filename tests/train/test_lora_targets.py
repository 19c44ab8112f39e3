"""Low-rank adapters of peft: they learn, they are saved and loaded, they merge."""

import pytest
import torch

from llava_video.model import LlavaVideoForConditionalGeneration
from llava_video.train.lora_targets import LORA_TARGETS
from tests.model.small import random_frames, small_model, small_processor

peft = pytest.importorskip("peft")

NUM_LAYERS = {"language_model": 2 * 7, "projector": 2, "vision_encoder": 2 * 6}


@pytest.fixture(scope="module")
def inputs():  # type: ignore[no-untyped-def]
    return small_processor()(["What?", "Is it red?"], [random_frames(3), random_frames(8)])


def fresh_model() -> LlavaVideoForConditionalGeneration:
    return small_model(video_token_id=small_processor().video_token_id)


@pytest.mark.parametrize("part", LORA_TARGETS)
def test_an_adapter_learns_is_saved_loaded_and_merged(part: str, inputs, tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = peft.LoraConfig(r=4, target_modules=LORA_TARGETS[part], task_type="CAUSAL_LM")
    model = peft.get_peft_model(fresh_model(), config)
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * NUM_LAYERS[part]
    assert all(part in name for name in trained)

    with torch.no_grad():
        before = fresh_model()(**inputs).logits
        torch.testing.assert_close(model(**inputs).logits, before)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    losses = []
    for _ in range(3):
        loss = model(**inputs, labels=inputs["input_ids"]).loss
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[0] > losses[-1]

    model.eval()
    model.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(fresh_model(), tmp_path).eval()
    with torch.no_grad():
        trained = model(**inputs).logits
        assert not torch.allclose(trained, before, atol=1e-3)
        torch.testing.assert_close(again(**inputs).logits, trained)
        options = {"max_new_tokens": 4, "do_sample": False}
        generated = again.generate(**inputs, **options)
        merged = again.merge_and_unload()
        assert isinstance(merged, LlavaVideoForConditionalGeneration)
        torch.testing.assert_close(merged(**inputs).logits, trained, rtol=1e-4, atol=1e-4)
        assert torch.equal(merged.generate(**inputs, **options), generated)
