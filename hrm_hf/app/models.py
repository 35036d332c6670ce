"""The models that the app offers: found under one folder and in an allow-list, loaded when first requested."""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_hf.app.context import USER_ERRORS, AppSettings
from hrm_hf.app.others_files import folders_with, holds_its_own, named, read_beginning, read_json_object, split_card
from hrm_hf.puzzles.registry import kinds


if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from modeling_hrm import HRMForGridTask
    from processing_hrm import HRMGridProcessor

# models that come with the package
_SHIPPED = Path(__file__).parents[1] / "pretrained"
_LEVELS = 3
_MAX_LOADED = 6  # models and processors
_CARD_CHARACTERS = 1500
_MAX_RESULTS = 3  # of a card


@dataclass(frozen=True)
class ModelFacts:
    """What is known about a model without loading it.

    Attributes:
        name: in the list.
        kind: name of its kind of puzzle, "text", or empty if unknown.
        purpose: in words.
        num_parameters: of its weights, if they are local.
        results: the results on its card, a short text per data set.
        fault: a sentence, if its files are damaged.
    """

    name: str
    kind: str
    purpose: str
    num_parameters: int | None
    results: tuple[str, ...] = ()
    fault: str | None = None


class ModelShelf:
    """Names of models and, on demand, the models. A name from a page is looked up, never used as a path.

    Args:
        settings: of the app.
    """

    def __init__(self, settings: AppSettings):
        self._settings = settings
        self._lock, self._loading = threading.Lock(), threading.Lock()
        self._loaded: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def grid_models(self, task: str | None = None) -> list[str]:
        """Models that solve puzzles: shipped ones, then folders by their path under the root, then Hub names.

        Args:
            task: name of a kind of puzzle; by default all. The purpose of a model on the Hub is unknown until it
                is loaded, so those are always included.
        """
        local = {name: _processor_settings(folder) for name, folder in self._folders().items()}
        names = [name for name, settings in local.items() if settings and task in (None, _kind_name(settings))]
        return [*names, *self._settings.hub_models]

    def text_models(self) -> list[str]:
        """Models that continue text, in the same order."""
        local = [name for name, folder in self._folders().items() if (folder / "tokenizer_config.json").is_file()]
        return [*local, *self._settings.hub_models]

    def load_grid(self, name: str) -> tuple["HRMForGridTask", "HRMGridProcessor"]:
        """A model that solves puzzles, and its processor, on the GPU if there is one.

        Raises:
            ValueError, FileNotFoundError: if there is no such model, or it cannot be loaded.
        """
        from hrm_hf.checkpoints import load_checkpoint

        return self._get(name, "grid", self.grid_models(), lambda where: self._on_device(load_checkpoint(where)))

    def load_text(self, name: str) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
        """A causal language model and its tokenizer; device and errors as for `load_grid`."""
        from hrm_hf.checkpoints import load_causal_lm

        return self._get(name, "text", self.text_models(), lambda where: self._on_device(load_causal_lm(where)))

    def grid_processor(self, name: str) -> "HRMGridProcessor":
        """Only the processor of a model, which is fast; errors as for `load_grid`."""
        from processing_hrm import HRMGridProcessor

        return self._get(name, "processor", self.grid_models(), HRMGridProcessor.from_pretrained)

    def describe(self, name: str) -> str:
        """What a page says about a model, as Markdown: task, parameters, device, and the beginning of its card.

        Raises:
            ValueError: if there is no such model.
        """
        self._check_offered(name, {*self.grid_models(), *self.text_models()})
        folder = self._folders().get(name)
        if folder is None:
            return f"**{name}** is on the Hub: https://huggingface.co/{name}. It is downloaded on first use."
        with named(folder, name):
            facts = [
                f"**{name}**",
                _task(folder, _processor_settings(folder)),
                f"{_num_parameters(folder):,} parameters",
                f"runs on {_device()}",
            ]
        excerpt = _excerpt(read_beginning(folder / "README.md", folder)) or "It has no card."
        return f"{' · '.join(facts)}\n\n{excerpt}"

    def facts(self) -> list[ModelFacts]:
        """What is known about all models without loading them, grouped by kind."""
        found = [_facts(name, folder) for name, folder in self._folders().items()]
        found += [ModelFacts(name, "", "on the Hub", None) for name in self._settings.hub_models]
        order = [kind.name for kind in kinds()]
        return sorted(found, key=lambda facts: order.index(facts.kind) if facts.kind in order else len(order))

    def _folders(self) -> dict[str, Path]:
        """Folders of models by name: those with a configuration and weights."""
        found = {f"shipped/{config.parent.name}": config.parent for config in sorted(_SHIPPED.glob("*/config.json"))}
        root = self._settings.models_root
        for name, folder in folders_with(root, "config.json", _LEVELS):
            if holds_its_own(folder, root) and read_json_object(folder / "config.json", root):
                found.setdefault(name, folder)
        return {name: folder for name, folder in found.items() if any(folder.glob("*.safetensors"))}

    def _check_offered(self, name: str, offered: list[str] | set[str]) -> None:
        if not isinstance(name, str) or name not in offered:
            raise ValueError(f"There is no model {str(name)[:80]!r} here; choose one from the list.")

    def _get(self, name: str, kind: str, offered: list[str], load: Callable[[str], Any]) -> Any:
        """The result of `load` for the folder or Hub name of a model, cached."""
        self._check_offered(name, offered)
        loaded = self._loaded_before(name, kind)
        if loaded is not None:
            return loaded
        # one at a time, so that two visitors do not load the same model; requests for loaded models do not wait
        with self._loading:
            loaded = self._loaded_before(name, kind)
            if loaded is not None:
                return loaded
            folder = self._folders().get(name)
            with named(folder, name):
                loaded = load(name if folder is None else str(folder))
            with self._lock:
                self._loaded[name, kind] = loaded
                if len(self._loaded) > _MAX_LOADED:
                    self._loaded.popitem(last=False)
            return loaded

    def _on_device(self, loaded: tuple[Any, Any]) -> tuple[Any, Any]:
        model, processing = loaded
        device = _device()
        if device == "cpu":
            _share_cores(self._settings.max_concurrency)
        return model.to(device), processing

    def _loaded_before(self, name: str, kind: str) -> Any | None:
        with self._lock:
            if (name, kind) in self._loaded:
                self._loaded.move_to_end((name, kind))
            return self._loaded.get((name, kind))


def _kind_name(processor: dict[str, Any]) -> str:
    """Name of the kind of puzzle of the settings of a processor."""
    return str(processor.get("kind") or processor.get("task"))


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@cache
def _share_cores(requests: int) -> None:
    """Give each concurrent request its own cores.

    Two requests with two threads each on two cores take ten times as long as with one: the threads of a product
    busy-wait for each other while the other request has the core.
    """
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // requests))


def _processor_settings(folder: Path) -> dict[str, Any]:
    """What a folder says about puzzles; empty for a text model."""
    return read_json_object(folder / "processor_config.json", folder)


def _facts(name: str, folder: Path) -> ModelFacts:
    processor = _processor_settings(folder)
    kind = _kind_name(processor) if processor else "text"
    try:
        with named(folder, name):
            return ModelFacts(name, kind, _task(folder, processor), _num_parameters(folder), _results(folder))
    except USER_ERRORS as error:
        return ModelFacts(name, kind, "", None, fault=str(error))


def _task(folder: Path, processor: dict[str, Any]) -> str:
    if processor:
        name, size = _kind_name(processor), f"{processor.get('height')}x{processor.get('width')}"
        kind = next((kind for kind in kinds() if kind.name == name), None)
        described = f"{name} {size}" if kind is None else kind.described(size)
        return described[:1].upper() + described[1:]
    model_type = read_json_object(folder / "config.json", folder).get("model_type")
    return "Text" if model_type == "hrm" else f"Text ({model_type})"


def _num_parameters(folder: Path) -> int:
    """Number of weights, from the headers of their files alone."""
    from safetensors import safe_open

    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            for key in weights.keys():
                size = 1
                for side in weights.get_slice(key).get_shape():
                    size *= side
                total += size
    return total


def _results(folder: Path) -> tuple[str, ...]:
    metadata, _ = split_card(read_beginning(folder / "README.md", folder))
    try:
        found = [
            _result(result["metrics"][0], result["dataset"])
            for model in metadata["model-index"]
            for result in model["results"]
        ]
    except (KeyError, TypeError, IndexError, ValueError, AttributeError):  # not in the format of cards
        return ()
    return tuple(found[:_MAX_RESULTS])


def _result(metric: dict[str, Any], dataset: dict[str, Any]) -> str:
    """A metric of a card in words."""
    value = float(metric["value"])
    is_share = re.search(r"accuracy|pass@", str(metric["type"])) is not None
    number = f"{value:.1%}" if is_share else f"{value:.4g}"
    arguments = metric.get("args") or {}
    counts = [f"{key.removeprefix('n_').replace('_', ' ')} {count:,}" for key, count in arguments.items()]
    return f"{metric.get('name', metric['type'])}: {number} on {dataset['name']} ({', '.join(counts)})"


def _excerpt(card: str) -> str:
    """The beginning of a model card, without its metadata, headings and pictures."""
    _, text = split_card(card)
    text = re.sub(r"^#.*\n|!\[[^\]]*\]\([^)]*\)", "", text, flags=re.MULTILINE).strip()
    if len(text) <= _CARD_CHARACTERS:
        return text
    # whole paragraphs, so that no table or code block is cut in two
    return text[: text.rfind("\n\n", 0, _CARD_CHARACTERS)].rstrip() + "\n\n..."
