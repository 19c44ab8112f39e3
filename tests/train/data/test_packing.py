"""Packing changes how long training takes, and nothing else."""

from itertools import combinations

import torch
from hypothesis import given
from hypothesis import strategies as st

from llava_video.train.data.packing import LABEL_IGNORED, branch_mask, join, pad_rows, plan_rows
from tests.model.small import small_model


def conversations(lengths: list[int]) -> list[tuple[list[int], list[int]]]:
    generator = torch.Generator().manual_seed(1)
    found = []
    for length in lengths:
        ids = torch.randint(5, 250, (length,), generator=generator).tolist()
        labels = [LABEL_IGNORED] * (length // 2) + ids[length // 2 :]
        found.append((ids, labels))
    return found


def test_a_packed_batch_has_the_loss_and_gradients_of_single_samples() -> None:
    model = small_model()
    samples = conversations([9, 14, 5, 11])
    batch = pad_rows([join(samples[:3]), join(samples[3:])], padding_id=0)
    batch["attention_mask"] = branch_mask(batch.pop("branches"), torch.float32)
    num_labels = sum(label != LABEL_IGNORED for _, labels in samples for label in labels)
    model(**batch).loss.backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for ids, labels in samples:
        count = sum(label != LABEL_IGNORED for label in labels)
        loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
        (loss * count / num_labels).backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(packed[name], parameter.grad, rtol=1e-4, atol=1e-6)
    assert len(packed) > 10


def test_answers_see_what_they_share_and_not_each_other() -> None:
    shared = [1, 2]
    row = join([([*shared, 3, 4], [-100] * 4), ([*shared, 5], [-100] * 3)], num_shared=2)
    mask = branch_mask(pad_rows([row], padding_id=0)["branches"], torch.bfloat16)
    seen = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]]
    assert torch.equal(mask == 0, torch.tensor(seen, dtype=torch.bool)[None, None])
    assert mask.dtype == torch.bfloat16
    assert mask[mask != 0].isfinite().all(), "a row of scores without a number has no softmax"


@given(
    st.lists(st.integers(1, 100), min_size=1, max_size=60),
    st.booleans(),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_every_sample_stands_in_exactly_one_row(
    lengths: list[int], packing: bool, rows_per_step: int, seed: int
) -> None:
    rows = plan_rows(lengths, 100, packing=packing, rows_per_step=rows_per_step, seed=seed)
    assert sorted(sample for row in rows for sample in row) == list(range(len(lengths)))
    assert all(sum(lengths[sample] for sample in row) <= 100 for row in rows)
    assert packing or all(len(row) == 1 for row in rows)
    again = plan_rows(lengths, 100, packing=packing, rows_per_step=rows_per_step, seed=seed)
    assert rows == again


def test_packed_rows_are_nearly_full() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(50, 900, (400,), generator=generator).tolist()
    rows = plan_rows(lengths, 2000, packing=True, rows_per_step=1, seed=0)
    assert sum(lengths) / (2000 * len(rows)) > 0.97


def test_each_sample_goes_to_the_fullest_row_that_has_room() -> None:
    """Longest first, 7, 6, 4, 3: the 3 fills the row of the 7 up, not the emptier one."""
    lengths = [3, 7, 4, 6]
    for seed in range(5):
        rows = plan_rows(lengths, 10, packing=True, rows_per_step=1, seed=seed)
        assert sorted(sorted(lengths[i] for i in row) for row in rows) == [[3, 7], [4, 6]]
    lengths = [9, 1, 12, 10]  # the 1 would fit behind the 12, too, which was there first
    rows = plan_rows(lengths, 20, packing=True, rows_per_step=1, seed=0)
    assert sorted(sorted(lengths[i] for i in row) for row in rows) == [[1, 9, 10], [12]]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=40))
def test_a_row_is_begun_only_where_no_other_has_room(lengths: list[int]) -> None:
    rows = plan_rows(lengths, 20, packing=True, rows_per_step=1, seed=0)
    sizes = [[lengths[sample] for sample in row] for row in rows]
    begun = sorted((-max(row), 20 - sum(row)) for row in sizes)  # the longest sample begins a row
    assert all(room < -first for (_, room), (first, _) in combinations(begun, 2))


def test_rows_of_one_step_are_about_as_long() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(50, 900, (403,), generator=generator).tolist()  # the last step has 3
    for seed in range(5):
        rows = plan_rows(lengths, 2000, packing=False, rows_per_step=4, seed=seed)
        steps = [[lengths[row[0]] for row in rows[i : i + 4]] for i in range(0, len(rows), 4)]
        assert max(max(step) - min(step) for step in steps) < 30
        firsts = [step[0] for step in steps]
        assert firsts != sorted(firsts), "the steps themselves are shuffled"
