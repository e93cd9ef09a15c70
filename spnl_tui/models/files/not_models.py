"""Recognizes files and repositories that are not chat models, from names, headers and lists of files.

Sources: llama.cpp (gguf-py/gguf/constants.py: architectures and the values of `general.type`), and the file
names that its tools and the usual publishers of GGUFs use.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

_WORDS = re.compile(r"[-._ ]+")
_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<total>\d{5})\.(?:gguf|safetensors)", re.IGNORECASE)
_SPLIT = re.compile(r"\.gguf[-.](?:part|split)", re.IGNORECASE)

PROJECTOR = "a projector (mmproj), which adds images or sound to a model and is not a model itself"
IMATRIX = "an importance matrix, which is used to quantize a model"
ADAPTER = "a LoRA adapter, which modifies another model and cannot be loaded alone"
VOCABULARY = "a vocabulary without weights"
_DRAFT = "a draft head (MTP), which speeds up another model"

_EMBEDDING = frozenset({
    "bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "neo-bert", "modern-bert",
    "eurobert", "gemma-embedding", "t5encoder", "llama-embed",
})  # fmt: skip
_IMAGES = frozenset({
    "flux", "sd1", "sd3", "sdxl", "aura", "wan", "hyvid", "ltxv", "cosmos", "lumina2", "hidream",
    "qwen_image", "z_image", "pig",
})  # fmt: skip
_SPEECH = frozenset({"whisper", "wavtokenizer-dec", "parakeet"})
_TYPES: Mapping[str, str] = {
    "adapter": ADAPTER,
    "mmproj": PROJECTOR,
    "imatrix": IMATRIX,
    "vocab": VOCABULARY,
}


def kind_by_name(path: str) -> str | None:
    """Return the kind of a file whose name shows that it is not a model; else None."""
    folder, _, name = path.lower().rpartition("/")
    words = _WORDS.split(name)
    if "mmproj" in words:
        return PROJECTOR
    if words[0] == "imatrix" or "imatrix" in words[-2:-1]:
        return IMATRIX
    if words[0] == "mtp" or "mtp" in folder.split("/"):
        return _DRAFT
    if words[:2] in (["ggml", "adapter"], ["adapter", "model"], ["ggml", "lora"]):
        return ADAPTER
    if words[:2] == ["ggml", "vocab"]:
        return VOCABULARY
    if _SPLIT.search(name):
        return "a piece of a GGUF, which must be joined with the others before it can be read"
    if words[0] == "ggml" and name.endswith(".bin"):
        return "a model in the format of whisper.cpp or of old llama.cpp versions, which cannot be loaded"
    return None


def kind_by_header(type: object, architecture: str) -> str | None:
    """Return the kind of a GGUF whose header shows that it is not a chat model; else None.

    `type` is `general.type`, which many files lack.
    """
    if isinstance(type, str) and type in _TYPES:
        return _TYPES[type]
    name = architecture.lower()
    if name == "clip":
        return PROJECTOR
    if name == "imatrix":
        return IMATRIX
    if name == "controlvector":
        return "a control vector, which modifies another model"
    return kind_by_architecture(name)


def kind_by_architecture(architecture: str) -> str | None:
    """Return the kind of a model that cannot chat; None if the model may be able to."""
    name = architecture.lower()
    plain = name.removesuffix("model")
    if name in _EMBEDDING or plain in _EMBEDDING or plain.endswith(("bert", "bertfor")):
        return f"an embedding model ({architecture}), which turns text into vectors and cannot chat"
    if name.startswith(("bertfor", "robertafor", "xlmrobertafor", "distilbertfor", "modernbertfor")):
        return f"a BERT model ({architecture}), which classifies or embeds text and cannot chat"
    if name in _SPEECH or name.startswith("whisper"):
        return f"a speech model ({architecture}), which cannot chat"
    if name in _IMAGES:
        return f"an image generator ({architecture}), which cannot chat"
    return None


def missing_shards(paths: Iterable[str]) -> list[str]:
    """Return a sentence for each incomplete set of shards."""
    sets: dict[tuple[str, int], set[int]] = {}
    for path in paths:
        if match := _SHARD.fullmatch(path):
            sets.setdefault((match["stem"], int(match["total"])), set()).add(int(match["index"]))
    found = []
    for (stem, total), present in sets.items():
        missing = [number for number in range(1, min(total, 100_000) + 1) if number not in present]
        if missing:
            numbers = ", ".join(str(number) for number in missing[:5]) + (" …" if len(missing) > 5 else "")
            found.append(f"{stem} has {len(present)} of {total} shards; missing: {numbers}.")
    return found


def why_nothing_loads(paths: Collection[str], tags: Collection[str] = (), pipeline: str | None = None) -> str:
    """Return a sentence that says why no file of this repository can be loaded as a model."""
    names = {path.rpartition("/")[2].lower() for path in paths}
    if any(name.startswith("adapter_config.json") for name in names) or "lora" in tags:
        return f"It is {ADAPTER}."
    if shards := missing_shards(paths):
        return " ".join(shards[:2])
    for path in paths:
        if (path.lower().endswith((".gguf", ".bin")) or _SPLIT.search(path)) and (kind := kind_by_name(path)):
            return f"{path} is {kind}."
    if any(name.endswith(".imatrix") or name == "imatrix.dat" for name in names):
        return f"It is {IMATRIX}."
    if pipeline in ("feature-extraction", "sentence-similarity", "text-ranking"):
        return "It is an embedding model, which turns text into vectors and cannot chat."
    if pipeline in ("automatic-speech-recognition", "text-to-speech", "text-to-audio"):
        return "It is a speech model, which cannot chat."
    if "model_index.json" in names or pipeline in ("text-to-image", "image-to-image", "text-to-video"):
        return "It generates images and cannot chat."
    if any(name.endswith(".safetensors") for name in names):
        return "It has weights, but no config.json to describe the model."
    if any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in names):
        return "Its weights have PyTorch's format. Only GGUF and safetensors can be loaded."
    if any(
        name.endswith((".onnx", ".mlmodel", ".tflite", ".mlpackage", ".msgpack", ".h5")) for name in names
    ):
        return "Its weights have a format for other programs. Only GGUF and safetensors can be loaded."
    return "It has neither GGUF files nor safetensors."
