"""The look of all pages: one quiet theme, light and dark, with the reader's system fonts."""

import gradio as gr


_FONTS = ("ui-sans-serif", "system-ui", "sans-serif")
_MONO_FONTS = ("ui-monospace", "Menlo", "Consolas", "monospace")

CSS = """
.app-head h1 { font-size: 1.5rem; margin: 0.4rem 0 0.2rem; }
.app-head p { color: var(--body-text-color-subdued); margin: 0; }
.verdict { min-height: 3.2rem; }
.verdict p { margin: 0; }
footer button, footer a { color: var(--body-text-color-subdued) !important; opacity: 1 !important; }
/* readable colors: WCAG requires a contrast of 4.5 */
.dark { --color-accent: #60a5fa; }
.dark .prose a { color: #93c5fd; }
pre, pre code { white-space: pre-wrap !important; overflow-wrap: anywhere; overflow: visible !important; }
.prose code, .block-info code, code { color: var(--body-text-color) !important; }
.token { color: inherit !important; opacity: 1 !important; }
.card table { display: block; overflow-x: auto; font-size: 0.85rem; border-collapse: collapse; }
.card th, .card td { padding: 2px 8px; border: 1px solid var(--border-color-primary); white-space: nowrap; }
.explanation { max-width: 640px; margin-top: 24px; }
.explanation h2 { font-size: 1.1rem; margin: 0 0 8px; }
.explanation svg { width: 100%; max-width: 480px; }
.note p { color: var(--body-text-color-subdued); font-size: 0.9rem; margin: 0; }
"""

# for the frame around the pages, which the CSS of Gradio does not reach, and for screen readers
HEAD = """<style>
.gradio-container > .main.fillable { max-width: 1080px !important; }
@media (max-width: 640px) { .gradio-container > .main.fillable { padding: 12px !important; } }
</style>
<script>
// screen readers read out a verdict when it changes; pages are built when first viewed
new MutationObserver(() => {
  for (const node of document.querySelectorAll(".verdict:not([aria-live])")) node.setAttribute("aria-live", "polite");
}).observe(document, { childList: true, subtree: true });
</script>"""


def make_theme() -> gr.themes.Base:
    """The theme."""
    return gr.themes.Base(
        primary_hue="blue",
        secondary_hue="slate",
        neutral_hue="slate",
        radius_size="md",
        font=_FONTS,
        font_mono=_MONO_FONTS,
    ).set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        color_accent="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        block_border_width="0px",
        block_shadow="none",
        body_background_fill="white",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_950",
        block_padding="*spacing_md 0",
        block_label_text_color="*body_text_color",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        input_border_width="1px",
    )
