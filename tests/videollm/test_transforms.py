"""Laws of the letter-box: nothing is lost, nothing is bent, each frame is treated alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from videollm.errors import RequestError
from videollm.transforms import preprocess_frames, scale_frame

SIDES = st.integers(1, 90)


def random_frames(num_frames: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (num_frames, 3, height, width), dtype=torch.uint8)


@settings(deadline=None)
@given(height=SIDES, width=SIDES, side=st.integers(1, 48))
def test_a_white_picture_fills_its_box_and_the_rest_is_grey(
    height: int, width: int, side: int
) -> None:
    white = torch.full((2, 3, height, width), 255, dtype=torch.uint8)
    square = preprocess_frames(white, side)
    assert square.shape == (2, 3, side, side)
    assert square.dtype == torch.float32
    is_white = (square - 1).abs() < 1e-5
    assert bool((is_white | (square == 0)).all())
    scale = side / max(height, width)
    rows, columns = is_white[0, 0].any(dim=1), is_white[0, 0].any(dim=0)
    assert int(rows.sum()) == max(round(height * scale), 1)
    assert int(columns.sum()) == max(round(width * scale), 1)
    assert int(is_white[0, 0].sum()) == int(rows.sum()) * int(columns.sum())
    for line in (rows, columns):
        before, after = int(line.int().argmax()), int(line.flip(0).int().argmax())
        assert 0 <= after - before <= 1


def test_pictures_of_the_right_size_are_not_touched() -> None:
    frames = random_frames(3, 40, 40)
    assert torch.equal(preprocess_frames(frames, 40), (frames.float() / 255 - 0.5) / 0.5)


@pytest.mark.parametrize(("height", "width"), [(24, 100), (100, 24), (20, 12)])
def test_the_border_is_kept(height: int, width: int) -> None:
    frames = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    frames[..., 0, :], frames[..., -1, :] = 255, 255
    frames[..., :, 0], frames[..., :, -1] = 255, 255
    square = preprocess_frames(frames, 50, mean=0.0, std=1.0)[0, 0]
    inside = square[square != 0.5]
    scale = 50 / max(height, width)
    box = square[
        (50 - round(height * scale)) // 2 : (50 + round(height * scale)) // 2,
        (50 - round(width * scale)) // 2 : (50 + round(width * scale)) // 2,
    ]
    assert inside.numel() >= box.numel() - 2 * sum(box.shape)
    for edge in (box[0], box[-1], box[:, 0], box[:, -1]):
        assert edge.mean() > 0.3


def test_shrinking_averages_and_does_not_alias() -> None:
    stripes = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    stripes[..., ::2] = 255
    square = preprocess_frames(stripes, 16, mean=0.0, std=1.0)
    assert (square - 0.5).abs().max() < 0.05


@pytest.mark.parametrize(("height", "width"), [(90, 2), (90, 3), (60, 1), (1, 60), (5, 7), (1, 1)])
def test_scaling_turns_with_the_picture_down_to_one_pixel(height: int, width: int) -> None:
    (frame,) = random_frames(1, height, width)
    for new_height, new_width in ((40, 1), (1, 40), (1, 1)):
        upright = scale_frame(frame, new_height, new_width)
        turned = scale_frame(frame.transpose(1, 2), new_width, new_height).transpose(1, 2)
        assert torch.allclose(upright, turned, atol=1e-5)
    assert torch.equal(scale_frame(frame, height, width), frame.float() / 255)


def test_every_frame_is_treated_alone() -> None:
    frames = random_frames(4, 30, 50)
    together = preprocess_frames(frames, 32)
    alone = torch.cat([preprocess_frames(frame[None], 32) for frame in frames])
    assert torch.equal(together, alone)
    assert preprocess_frames(frames[:0], 32).shape == (0, 3, 32, 32)


def test_mean_and_deviation_may_differ_by_channel() -> None:
    frames = random_frames(2, 8, 8)
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.25, 2.0]
    square = preprocess_frames(frames, 8, mean=mean, std=std)
    for channel in range(3):
        expected = (frames[:, channel].float() / 255 - mean[channel]) / std[channel]
        assert torch.allclose(square[:, channel], expected, atol=1e-6)
    raw = preprocess_frames(random_frames(1, 4, 8), 8, mean=0.0, std=1.0)
    assert bool((raw[..., 0, :] == 0.5).all())


def test_what_does_not_fit_is_refused() -> None:
    frames = random_frames(1, 4, 4)
    for wrong, finding in ((frames[0], "shape"), (frames.transpose(1, 2), "shape")):
        with pytest.raises(RequestError, match=finding):
            preprocess_frames(wrong, 8)
    with pytest.raises(RequestError, match=r"torch\.float32"):
        preprocess_frames(frames.float(), 8)
    with pytest.raises(RequestError, match="image_size is 0"):
        preprocess_frames(frames, 0)
    with pytest.raises(RequestError, match="std is 0"):
        preprocess_frames(frames, 8, std=0.0)
    with pytest.raises(RequestError, match="mean is"):
        preprocess_frames(frames, 8, mean=[0.1, 0.2])
