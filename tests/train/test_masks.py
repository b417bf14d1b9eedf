"""Masks of a batch follow from its draws, whoever makes the batch."""

import torch

from videollm.train.masks import MaskDrawer, MaskPlan


def drawer(*ratios: float) -> MaskDrawer:
    return MaskDrawer(keep_ratios=ratios, seed=3)


def test_a_clip_has_the_same_mask_in_any_batch() -> None:
    whole = drawer(0.5).plan([4, 9, 2, 7])
    halves = [drawer(0.5).plan(draws) for draws in ([4, 9], [2, 7])]
    assert torch.equal(whole.random(3, 16), torch.cat([half.random(3, 16) for half in halves]))
    looks = torch.rand(4, 3, 16)
    parts = [half.guided(part) for half, part in zip(halves, looks.split(2), strict=True)]
    assert torch.equal(whole.guided(looks), torch.cat(parts))


def test_clips_of_a_batch_have_masks_of_their_own() -> None:
    masks = drawer(0.5).plan([0, 1]).random(2, 64)
    assert not torch.equal(masks[0], masks[1])


def test_one_ratio_a_batch_and_all_of_them_in_time() -> None:
    plans = [drawer(1.0, 0.5, 0.25).plan([index, 100 + index]) for index in range(30)]
    assert {plan.keep for plan in plans} == {1.0, 0.5, 0.25}
    for plan in plans:
        assert set(plan.random(2, 16).float().mean(2).flatten().tolist()) == {plan.keep}


def test_a_plan_survives_the_way_through_a_batch() -> None:
    plan = drawer(0.2).plan([2**40, 3])
    batch = {"pixel_values": torch.zeros(1), **plan.tensors()}
    assert MaskPlan.pop_from(batch) == plan
    assert batch.keys() == {"pixel_values"}
