"""The page that continues text: sampling, thinking depth, and the model's thinking at every token.

The computation is in `hrm_hf.text.trace`; here are the controls and the HTML.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from hrm_hf.app.charts import Line, line_chart
from hrm_hf.app.context import AppSettings, sentences
from hrm_hf.app.controls import model_picker
from hrm_hf.app.endpoints import add_endpoint, model_slots
from hrm_hf.app.limits import SESSION_SECONDS
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.page_events import when_looked_at


if TYPE_CHECKING:
    from hrm_hf.text.trace import Continuation, TextTrace, TokenTrace

_MAX_CHARACTERS = 4000
_MAX_NEW_TOKENS = 256
_MAX_SEGMENTS = 16
_MAX_TOP_K = 1000
_DEPTHS = ("fixed", "adaptive")
_COLORS = ("depth", "entropy", "probability")
_MOST_BITS = 12  # entropy of the darkest shade

# the CSS of the monitor styles the charts
CSS = """
.text-tokens { line-height: 2.9; padding: 10px 14px; border: 1px solid var(--border-color-primary);
  border-radius: 10px; color: var(--body-text-color); overflow-wrap: anywhere; font-size: 16px; }
.text-tokens button { font: inherit; color: inherit; border: 0; margin: 0 1px 0 0; padding: 2px 1px; cursor: pointer;
  border-radius: 3px; white-space: pre-wrap; line-height: 1.35; display: inline-flex; flex-direction: column;
  align-items: center; vertical-align: middle; max-width: 100%; background: rgb(47 127 209 / var(--shade)); }
.text-tokens button::after { content: attr(data-figure); font-size: 10px; line-height: 1; opacity: 0.9;
  font-variant-numeric: tabular-nums; }
.text-tokens button.text-given { border-bottom: 2px dotted var(--body-text-color-subdued); }
.text-tokens button:hover, .text-tokens button:focus-visible, .text-tokens button[aria-pressed="true"] {
  outline: 2px solid #d97a1a; }
.text-legend { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; font-size: 13px; margin: 2px 0 8px;
  line-height: 1.5; color: var(--body-text-color-subdued); }
.text-legend i { display: inline-block; width: 22px; height: 14px; border-radius: 3px; vertical-align: -2px;
  margin-right: 5px; border: 1px solid var(--border-color-primary); background: rgb(47 127 209 / var(--shade)); }
.text-choice { color: var(--body-text-color); line-height: 1.6; }
.text-choice table { border-collapse: collapse; width: 100%; font-size: 14px; border: 0 !important; }
.text-choice tr { border: 0 !important; }
.text-choice td, .text-choice th { padding: 3px 6px !important; text-align: left; border: 0 !important; }
.text-choice th { color: var(--body-text-color-subdued); font-weight: 400 !important; }
.text-choice td:first-child { font-family: var(--font-mono); white-space: pre-wrap; overflow-wrap: anywhere;
  max-width: 150px; }
.text-choice td:last-child { width: 55%; }
.text-choice .text-bar { display: block; height: 12px; border-radius: 3px; background: #2f7fd1; min-width: 1px; }
.text-choice tr.text-taken td { font-weight: 700; }
.text-note, .text-note p { color: var(--body-text-color-subdued); font-size: 14px; line-height: 1.6; }
"""

_JS = """
element.addEventListener('click', event => {
  const token = event.target.closest('button[data-number]');
  if (token) trigger('choose', {number: Number(token.dataset.number)});
});
"""

_NO_MODELS = (
    "There is no language model yet. Train one: `python dataset_scripts/build_text.py data/text --input FOLDER "
    "--train-bpe 2048`, then `accelerate launch train_accelerate.py recipes/text_recurrent.yaml`; its folder appears "
    "here when the page is opened again."
)
_NO_HALTING = (
    "It has no halting head, because it was made with halt_max_steps=1: it thinks equally long at every token, and "
    "adaptive depth is not available."
)
_NO_DEPTH = "It is not an HRM, so it has no thinking depth, and no states to show."
_NOTHING_YET = (
    '<p class="text-note">The tokens of a text appear here; choose one to see which other tokens the model '
    "considered.</p>"
)


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the Blocks being built.

    Args:
        settings: the time limit of a request.
        shelf: the models.
    """
    slots = model_slots(settings)

    def load(name: Any) -> tuple[Any, Any]:
        if not name:
            raise ValueError(_NO_MODELS.replace("`", ""))
        return shelf.load_text(name)

    def work(model_name, prompt, temperature, top_k, top_p, min_p, new_tokens, seed, depth, segments, threshold):
        """The text while it is written, and finally its trace."""
        prompt = checked_prompt(prompt)
        model, tokenizer = load(model_name)
        from hrm_hf.text.trace import Sampling, continue_text, trace_text

        sampling = Sampling(
            temperature=_within("temperature", temperature, 0, 5),
            top_k=int(_within("top_k", top_k, 0, _MAX_TOP_K)),
            top_p=_within("top_p", top_p, 0.01, 1),
            min_p=_within("min_p", min_p, 0, 1),
            max_new_tokens=int(_within("new_tokens", new_tokens, 0, _MAX_NEW_TOKENS)),
            seed=int(_within("seed", seed, 0, 2**31 - 1)),
        )
        arguments = depth_arguments(model.config, depth, segments, threshold)
        for written in continue_text(model, tokenizer, prompt, sampling, arguments, settings.seconds_per_request):
            yield written, None, model
        yield written, trace_text(model, tokenizer, written.token_ids, arguments), model

    def write(model_name, prompt, color, *controls):
        start = time.monotonic()
        with sentences():
            for written, trace, model in work(model_name, prompt, *controls):
                text = checked_prompt(prompt) + written.text
                note = progress_note(written, time.monotonic() - start)
                if trace is None:
                    # the colored text is always the one that is shown, even if the reader stops it now
                    yield text, note, gr.skip(), _NOTHING_YET, "", "", None
                    continue
                # a reader looks for the first new token
                num_given = written.num_prompt - 1
                chosen = min(num_given + 1, len(trace.tokens))
                kept = {"trace": trace, "num_given": num_given, "config": model.config}
                yield text, note, chosen, *views(kept, chosen, color), kept

    def views(kept: dict, chosen: int, color: str) -> tuple[str, str, str]:
        trace = kept["trace"]
        return (
            tokens_html(trace, kept["num_given"], color, chosen),
            alternatives_html(trace.tokens[chosen - 1]),
            states_html(trace, chosen, kept["config"]),
        )

    def choose(kept, number, color):
        if not kept:
            return (gr.skip(),) * 3
        return views(kept, _chosen(number, len(kept["trace"].tokens)), color)

    def choose_clicked(kept, color, event: gr.EventData):
        if not kept:
            return (gr.skip(),) * 4
        number = _chosen(event.number, len(kept["trace"].tokens))
        return number, *views(kept, number, color)

    def fit_depth(name):
        """The depth controls for a model; this also loads it before it is needed."""
        if not name:
            return (gr.skip(),) * 4
        with sentences():
            model, _ = load(name)
        can_halt = can_adapt(model.config)
        return (
            depth_sentence(model.config),
            gr.update(choices=list(_DEPTHS) if can_halt else ["fixed"], value="fixed", visible=can_halt),
            gr.update(value=trained_depth(model.config), visible=model.config.model_type == "hrm"),
            gr.update(visible=can_halt),
        )

    def generate_text(
        model: str,
        prompt: str,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 0.95,
        min_p: float = 0.0,
        new_tokens: int = 60,
        seed: int = 0,
        depth: str = "fixed",
        segments: int = 1,
        halt_threshold: float = 0.5,
    ) -> Iterator[dict]:
        """Continue a text. Streams {"text", "end"}; the last message also has every token with its probability,
        entropy in bits, segments and likeliest alternatives, and the states after every module call.

        Args:
            model: one of `models`, for text.
            prompt: the text to continue.
            temperature: 0 takes the likeliest token, 1 samples from the model's probabilities.
            top_k: sample from this many of the likeliest tokens; 0 is all.
            top_p: sample from the likeliest tokens that together have this probability.
            min_p: leave out tokens less likely than this fraction of the likeliest one.
            new_tokens: number of tokens to write; with 0 it only analyzes the prompt.
            seed: equal seeds give equal texts.
            depth: "fixed" (`segments` for every token) or "adaptive" (until the halting probability is
                `halt_threshold`, at most `segments`).
            segments: number of segments per token.
            halt_threshold: halting probability that ends the thinking on a token, with adaptive depth.
        """
        controls = (temperature, top_k, top_p, min_p, new_tokens, seed, depth, segments, halt_threshold)
        for written, trace, _ in work(model, prompt, *controls):
            yield {"text": written.text, "end": written.end} | ({} if trace is None else trace_json(trace, written))

    example = next(iter(shelf.text_models()), "shipped/text")
    add_endpoint(generate_text, slots, model=example, prompt="The king said")

    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            model_menu = model_picker(shelf, shelf.text_models, _NO_MODELS)
            prompt_box = gr.Textbox(
                "The king said",
                label="Prompt",
                lines=3,
                max_lines=12,
                placeholder="Some text to continue",
                elem_id="text-prompt",
            )
            with gr.Row():
                button = gr.Button("Continue the text", variant="primary", elem_id="text-write")
                stop = gr.Button("Stop", elem_id="text-stop")
            text_box = gr.Textbox(
                label="Text", lines=6, max_lines=24, interactive=False, buttons=["copy"], elem_id="text-written"
            )
            note = gr.Markdown(elem_classes="text-note")
        with gr.Column(scale=2, min_width=280):
            depth_menu = gr.Radio(
                list(_DEPTHS),
                value="fixed",
                label="Thinking depth",
                info="fixed: the same for every token; adaptive: a token stops when the halting head is sure",
            )
            depth_note = gr.Markdown(elem_classes="text-note")
            segments = gr.Slider(1, _MAX_SEGMENTS, 1, step=1, label="Segments (adaptive depth: maximum)")
            threshold = gr.Slider(0.01, 0.99, 0.5, step=0.01, label="Halting threshold of adaptive depth")
            new_tokens = gr.Slider(0, _MAX_NEW_TOKENS, 60, step=1, label="New tokens (0: only analyze the prompt)")
            temperature = gr.Slider(0, 2, 0.8, step=0.05, label="Temperature (0: always the likeliest)")
            with gr.Accordion("More sampling options", open=False):
                top_k = gr.Slider(0, _MAX_TOP_K, 0, step=1, label="Top-k (0: all)")
                top_p = gr.Slider(0.05, 1, 0.95, step=0.01, label="Top-p")
                min_p = gr.Slider(0, 0.5, 0, step=0.01, label="Min-p")
                seed = gr.Number(0, precision=0, minimum=0, maximum=2**31 - 1, label="Seed")
    color_menu = gr.Radio(list(_COLORS), value="entropy", label="Color tokens by")
    tokens = gr.HTML(_NOTHING_YET, js_on_load=_JS, elem_id="text-tokens")
    with gr.Row():
        with gr.Column(min_width=300):
            number = gr.Number(1, precision=0, minimum=1, label="Token number", elem_id="text-number")
            alternatives = gr.HTML(elem_id="text-alternatives")
        with gr.Column(min_width=300):
            states = gr.HTML(elem_id="text-states")

    kept = gr.State(time_to_live=SESSION_SECONDS)
    private = {"api_visibility": "private"}
    controls = [temperature, top_k, top_p, min_p, new_tokens, seed, depth_menu, segments, threshold]
    shown = [tokens, alternatives, states]
    writing = gr.on(
        [button.click, prompt_box.submit],
        write,
        [model_menu, prompt_box, color_menu, *controls],
        [text_box, note, number, *shown, kept],
        show_progress="minimal",
        show_progress_on=[note],
        **private,
        **slots,
    )
    stop.click(None, cancels=writing, **private)
    quick = {"show_progress": "hidden", "concurrency_limit": 4, **private}
    tokens.choose(choose_clicked, [kept, color_menu], [number, *shown], **quick)
    number.input(choose, [kept, number, color_menu], shown, trigger_mode="always_last", **quick)
    color_menu.input(choose, [kept, number, color_menu], shown, **quick)
    depth_controls = [depth_note, depth_menu, segments, threshold]
    model_menu.input(fit_depth, model_menu, depth_controls, show_progress="hidden", **private, **slots)
    # imports and loading take seconds: when the page is viewed, not when the app is opened
    when_looked_at(fit_depth, model_menu, depth_controls, show_progress="hidden", **private, **slots)


# --- input


def checked_prompt(prompt: Any) -> str:
    """The prompt as text that any tokenizer accepts.

    Raises:
        ValueError: if it is not text, empty or too long.
    """
    if not isinstance(prompt, str):
        raise ValueError(f"The prompt must be text, but its type is {type(prompt).__name__}.")
    if len(prompt) > _MAX_CHARACTERS:
        raise ValueError(f"The prompt has {len(prompt):,} characters; at most {_MAX_CHARACTERS:,} are allowed.")
    if not prompt:
        raise ValueError("The prompt is empty; give some text to continue.")
    # JSON may hold half of a surrogate pair, which is not a character
    return prompt.encode("utf-8", "replace").decode()


def depth_arguments(config: Any, depth: Any, segments: Any, threshold: Any) -> dict[str, Any]:
    """Thinking depth as arguments of the model; none for models without depth.

    Raises:
        ValueError: if a value is out of range, or for adaptive depth of a model without a halting head.
    """
    if depth not in _DEPTHS:
        raise ValueError(f"The depth {str(depth)[:40]!r} is unknown; it must be fixed or adaptive.")
    most = int(_within("segments", segments, 1, _MAX_SEGMENTS))
    if config.model_type != "hrm":
        if depth == "adaptive":
            raise ValueError(f"Adaptive depth is for HRM, but this model is {config.model_type!r}; choose fixed.")
        return {}
    if depth == "fixed":
        return {"max_segments": most}
    if not can_adapt(config):
        raise ValueError(f"Adaptive depth is not available for this model. {_NO_HALTING} Choose fixed.")
    return {"max_segments": most, "halt_threshold": _within("halt_threshold", threshold, 0, 1)}


def can_adapt(config: Any) -> bool:
    """Whether a model can stop on its own: HRM with a halting head."""
    return trained_depth(config) > 1


def trained_depth(config: Any) -> int:
    """Segments that a model was trained with; 1 for models other than HRM."""
    return min(config.halt_max_steps, _MAX_SEGMENTS) if config.model_type == "hrm" else 1


def depth_sentence(config: Any) -> str:
    """The depth of a model, in a sentence."""
    if config.model_type != "hrm":
        return _NO_DEPTH
    if not can_adapt(config):
        return _NO_HALTING
    return f"It was trained with {config.halt_max_steps} segments and can stop earlier on its own."


def _within(name: str, value: Any, lowest: float, highest: float) -> float:
    """A number of a control.

    Raises:
        ValueError: if it is not a number, or out of range.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not lowest <= value <= highest:
        raise ValueError(f"{name}={str(value)[:40]} is not allowed; it must be a number from {lowest} to {highest}.")
    return value


def _chosen(number: Any, num_tokens: int) -> int:
    """The number of an existing token."""
    if not isinstance(number, int | float) or not math.isfinite(number):
        return 1
    return min(max(int(number), 1), num_tokens)


# --- output


def progress_note(written: "Continuation", seconds: float) -> str:
    """The progress of writing, or why it ended."""
    added = len(written.token_ids) - written.num_prompt
    note = f"{added} new token{'s' * (added != 1)} in {seconds:.1f} s"
    if not written.end:
        return f"{note} ..."
    return f"{note}. Ended by {written.end}." if written.end != "all tokens" else f"{note}."


def trace_json(trace: "TextTrace", written: "Continuation") -> dict[str, Any]:
    """A trace as plain JSON."""

    def plain(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "num_prompt_tokens": written.num_prompt - 1,
        "tokens": [asdict(token) for token in trace.tokens],
        "states": [
            {
                "module": state.module,
                "segment": state.segment,
                "norm": plain(state.norm),
                "change": plain(state.change),
            }
            for state in trace.states
        ],
    }


def visible(text: str) -> str:
    """A token with visible signs for its invisible characters."""
    signs = {"\n": "↵", "\t": "⇥", "\r": "␍", "": "∅"}
    if text in signs:
        return signs[text]
    return "".join(signs.get(char, char if char >= " " else chr(0x2400 + ord(char))) for char in text)


def tokens_html(trace: "TextTrace", num_given: int, color: str, chosen: int) -> str:
    """The text token by token, each a button with a number below, shaded by it.

    Args:
        trace: of the text.
        num_given: number of tokens in the prompt.
        color: "depth", "entropy" or "probability".
        chosen: number of the selected token.
    """
    color = color if color in _COLORS else "entropy"
    if color == "depth" and trace.tokens[0].segments is None:
        return f'<p class="text-note">{_NO_DEPTH}</p>'
    most = max((token.segments or 1 for token in trace.tokens), default=1)
    parts = []
    for token in trace.tokens:
        share, figure = _shade(token, color, most)
        facts = [f"token {token.number}: {visible(token.text)!r}"]
        if token.segments is not None:
            facts.append(f"{token.segments} segment{'s' * (token.segments != 1)}")
        facts.append(f"entropy {token.entropy:.2f} bits")
        facts.append(f"probability {token.probability:.1%}")
        title = escape(", ".join(facts))
        # the spoken label begins with the visible one
        label = escape(", ".join([visible(token.text), *facts]))
        given = ' class="text-given"' if token.number <= num_given else ""
        line_end = "<br>" if "\n" in token.text else ""
        parts.append(
            f'<button type="button" data-number="{token.number}" title="{title}" aria-label="{label}" '
            f'aria-pressed="{str(token.number == chosen).lower()}" style="--shade: {0.05 + 0.5 * share:.2f}"{given} '
            # the number is drawn, and not part of the name of the button
            f'data-figure="{figure}">{escape(visible(token.text))}</button>{line_end}'
        )
    return f'{_legend(color, most)}<div class="text-tokens">{"".join(parts)}</div>'


def _shade(token: "TokenTrace", color: str, most: int) -> tuple[float, str]:
    """How dark a token is, 0 to 1, and the number below it."""
    if color == "depth":
        return (token.segments - 1) / max(most - 1, 1), str(token.segments)
    if color == "entropy":
        return min(token.entropy / _MOST_BITS, 1.0), f"{token.entropy:.1f}"
    return token.probability, f"{100 * token.probability:.0f}"


def _legend(color: str, most: int) -> str:
    ends = {
        "depth": ("1 segment", f"{most} segments" if most > 1 else "the same everywhere"),
        "entropy": ("0 bits: sure of what follows", f"{_MOST_BITS} bits: no idea"),
        "probability": ("0 %: surprising", "100 %: expected"),
    }[color]
    figures = {"depth": "segments", "entropy": "entropy in bits", "probability": "probability in percent"}[color]
    shades = [
        f'<span><i style="--shade: {shade}"></i>{text}</span>' for shade, text in zip((0.05, 0.55), ends, strict=True)
    ]
    return (
        f'<div class="text-legend">{"".join(shades)}<span>below each token: {figures}</span>'
        "<span>dotted line: prompt</span></div>"
    )


def alternatives_html(token: "TokenTrace") -> str:
    """The likeliest alternatives of the model in place of a token."""
    rows, likeliest = [], max((probability for _, probability in token.alternatives), default=1.0)
    for text, probability in token.alternatives:
        taken = ' class="text-taken"' if text == token.text else ""
        rows.append(
            f"<tr{taken}><td>{escape(visible(text))}</td><td>{probability:.1%}</td>"
            f'<td><span class="text-bar" style="width: {100 * probability / likeliest:.1f}%"></span></td></tr>'
        )
    facts = [f"probability {token.probability:.2%}", f"entropy {token.entropy:.2f} bits"]
    if token.segments is not None:
        facts.append(f"{token.segments} segment{'s' * (token.segments != 1)}")
    if token.halt_probability is not None:
        facts.append(f"halting probability {token.halt_probability:.1%}")
    return (
        f'<div class="text-choice"><p>Token {token.number}, <b>{escape(visible(token.text))}</b>: {", ".join(facts)}. '
        f"Likeliest in its place, before sampling:</p><table><thead><tr><th>token</th><th>probability</th><th></th>"
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def states_html(trace: "TextTrace", chosen: int, config: Any) -> str:
    """How far the states move in each module call, and their norm: on average, and at the selected token."""
    if not trace.states:
        return f'<p class="text-note">{_NO_DEPTH}</p>'
    movement, lengths = [], []
    for index, module in enumerate("HL"):
        calls = [(call, state) for call, state in enumerate(trace.states, start=1) if state.module == module]
        xs = [call for call, _ in calls]
        for of, lines in (("changes", movement), ("norms", lengths)):
            mean = [getattr(state, of.removesuffix("s")) for _, state in calls]
            lines.append(Line(f"{module}, mean of all tokens", xs, mean, index, module))
            here = [math.nan if (at := getattr(state, of)[chosen - 1]) is None else at for _, state in calls]
            lines.append(Line(f"{module}, token {chosen}", xs, here, index, module.lower(), dashed=True))
    segments = max(state.segment for state in trace.states)
    per_segment = len(trace.states) // segments
    note = f"H, L: mean of all tokens; h, l: token {chosen}. A segment is {per_segment} module calls."
    norm_note = "Before the final norm of a module, which makes them 1."
    if config.norm_position == "post":
        norm_note = "Always 1: this model normalizes every block's output (norm_position=post)."
    return (
        '<div class="hrm-charts">'
        + line_chart("Change of the states, relative to their norm", movement, "module call", note, log=True)
        + line_chart("Norm of the states (root mean square)", lengths, "module call", norm_note)
        + "</div>"
    )
