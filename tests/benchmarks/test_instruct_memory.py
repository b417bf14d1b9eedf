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
    held = {"lora": case(3, 2), "lora_checkpointed": case(2, 1), "qlora": case(2, 1)}
    assert judge(held) == {
        "peak_gib": 3,
        "cut_by_checkpointing": 0.5,
        "fall_of_loss_in_four_bits": 1.0,
        "laws_hold": True,
    }
    for broken in (
        {"lora": case(6, 2)},
        {"lora_checkpointed": case(2, 1.21)},
        {"qlora": case(2, 1, last=2.0)},
    ):
        assert not judge({**held, **broken})["laws_hold"]
    assert judge({"qlora": case(2, 1)})["laws_hold"]
