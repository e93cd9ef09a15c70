"""Marks for images in texts, the rules of how many tokens an image takes, and the choice of a projector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spnl_tui.engine.mistralrs.runner.images import MissingImage, PromptImages
from spnl_tui.models.files.projector import best_first
from spnl_tui.models.image_marks import (
    content_of,
    image_mark,
    marked_images,
    marked_text,
    without_partial_mark,
)
from spnl_tui.models.parts import ImagePart, TextPart
from spnl_tui.models.vision import vision_rule

_PHOTO = ImagePart("a" * 64, "image/png", 123, "photo.png", 640, 480)
_IDEFICS = {"model_type": "idefics3", "vision_config": {"patch_size": 16}}


def _sized(longest: int, **more: Any) -> dict[str, Any]:
    return {"size": {"longest_edge": longest}, "max_image_size": {"longest_edge": 512}, **more}


@pytest.mark.parametrize(
    ("config", "preprocessor", "size", "tokens"),
    [
        # Measured with mistral.rs 0.9.5, SmolVLM's processor: 64 tokens for each tile of 512 pixels.
        (_IDEFICS, _sized(1024), (1, 1), 333),
        (_IDEFICS, _sized(2048), (1024, 1024), 1127),
        (_IDEFICS, _sized(1024, do_image_splitting=False), (1024, 700), 67),
        (
            {"model_type": "qwen2_vl", "vision_config": {}},
            {"patch_size": 14, "merge_size": 2, "min_pixels": 3136, "max_pixels": 12845056},
            (280, 140),
            10 * 5 + 2,
        ),
        ({"model_type": "gemma3", "vision_config": {}, "mm_tokens_per_image": 64}, {"a": 1}, (9, 9), 68),
    ],
)
def test_image_takes_as_many_tokens_as_mistralrs_reports(
    config: dict[str, Any], preprocessor: dict[str, Any], size: tuple[int, int], tokens: int
) -> None:
    rule = vision_rule(config, preprocessor, {"image_seq_len": 64})
    assert rule is not None
    assert rule.image_tokens(*size) == tokens


@pytest.mark.parametrize(
    ("config", "preprocessor"),
    [
        ({"model_type": "llama"}, {"size": {}}),
        ({"model_type": "idefics3", "vision_config": {}}, {}),
        ({"model_type": "idefics3"}, {"size": {}}),
    ],
)
def test_config_that_lacks_what_vision_needs_gives_no_rule(
    config: dict[str, Any], preprocessor: dict[str, Any]
) -> None:
    assert vision_rule(config, preprocessor, {}) is None


def test_marked_text_names_each_image_once_in_its_place() -> None:
    text = marked_text((_PHOTO, TextPart("What is this?")))
    assert text == image_mark(_PHOTO) + "What is this?"
    (image,) = marked_images(text)
    assert image == _PHOTO
    assert content_of(text) == (_PHOTO, TextPart("What is this?"))


@pytest.mark.parametrize("length", [1, 20, 80])
def test_text_cut_within_a_mark_loses_all_of_the_mark(length: int) -> None:
    text = "Look: " + image_mark(_PHOTO)
    assert without_partial_mark(text[: 6 + length]) == "Look: "
    assert without_partial_mark(text) == text


def test_projectors_of_16_bits_come_first_and_32_bits_last() -> None:
    names = ["mmproj-F32.gguf", "mmproj-model-Q8_0.gguf", "mmproj-x-BF16.gguf", "mmproj-model-f16.gguf"]
    assert [file.name for file in best_first(map(Path, names))] == [names[3], names[2], names[1], names[0]]


def test_prompt_images_replace_marks_by_numbered_placeholders_and_data(tmp_path: Path) -> None:
    rule = vision_rule({"model_type": "phi3_v", "vision_config": {}}, {"a": 1}, {})
    (tmp_path / _PHOTO.sha256).write_bytes(b"data")
    prompt = f"{image_mark(_PHOTO)}One. {image_mark(_PHOTO)}Two."
    (message,) = PromptImages(rule, tmp_path).messages(prompt)
    *images, text = message["content"]
    assert text == {"type": "text", "text": "<|image_1|>One. <|image_2|>Two."}
    assert [each["image_url"]["url"] for each in images] == ["data:image/png;base64,ZGF0YQ=="] * 2


def test_prompt_of_a_removed_image_fails_with_its_name(tmp_path: Path) -> None:
    rule = vision_rule({"model_type": "phi3_v", "vision_config": {}}, {"a": 1}, {})
    with pytest.raises(MissingImage, match=r"photo\.png is no longer"):
        PromptImages(rule, tmp_path).messages(image_mark(_PHOTO))


def test_model_without_vision_reads_no_marks() -> None:
    images = PromptImages()
    assert images.messages(image_mark(_PHOTO) + "Hi") == [{"role": "user", "content": "Hi"}]
    assert images.count(image_mark(_PHOTO) + "Hi", len) == 2
