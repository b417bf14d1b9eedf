"""What the memory benchmark of instruct makes of its cases."""

from benchmarks.instruct_memory import judge


def case(peak: float, training: float, first: float = 2.0, last: float = 1.0) -> dict[str, float]:
    return {
        "peak_gib": peak,
        "training_gib": training,
        "first_losses": first,
        "last_losses": last,
    }


def test_each_law_can_be_broken() -> None:
    held = {
        **{"lora": case(4, 2), "lora_checkpointed": case(2, 1), "qlora": case(2, 1)},
        **{"large": case(5, 4), "large_checkpointed": case(3, 2)},
    }
    assert judge(held) == {
        "peak_gib": 5,
        "cut_by_checkpointing_lora": {"training": 0.5, "peak": 0.5},
        "cut_by_checkpointing_large": {"training": 0.5, "peak": 0.4},
        "fall_of_loss_in_four_bits": 1.0,
        "laws_hold": True,
    }
    for broken in (
        {"lora": case(6, 2)},
        {"lora_checkpointed": case(2, 1.21)},
        {"lora_checkpointed": case(2.41, 1)},
        {"large_checkpointed": case(2, 2.41)},
        {"large_checkpointed": case(3.01, 2)},
        {"qlora": case(2, 1, last=2.0)},
    ):
        assert not judge({**held, **broken})["laws_hold"]
    assert judge({"qlora": case(2, 1)})["laws_hold"]
