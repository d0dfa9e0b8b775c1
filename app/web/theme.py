"""Gradio's theme in the colours of the page: system fonts only, warm paper, one quiet accent.

The sizes and everything that is not Gradio's own lie in assets/web/attest.css; the colours here repeat
that file's custom properties, so that both follow the reader's light or dark setting.
"""

import gradio as gr

SANS = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Noto Sans",
    "Liberation Sans",
    "DejaVu Sans",
    "sans-serif",
)
MONO = ("ui-monospace", "Consolas", "Liberation Mono", "monospace")

FLAT = {
    "block_border_width": "0px",
    "block_shadow": "none",
    "block_padding": "0px",
    "input_border_width": "1px",
    "input_shadow": "none",
    "input_shadow_focus": "none",
    "button_border_width": "1px",
}


def reading_room() -> gr.themes.Base:
    """The theme, passed to Gradio when the page is mounted."""
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.slate,
        secondary_hue=gr.themes.colors.slate,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_sm,
        font=SANS,
        font_mono=MONO,
    )
    pairs = {
        "body_background_fill": "var(--at-paper)",
        "body_text_color": "var(--at-ink)",
        "body_text_color_subdued": "var(--at-muted)",
        "background_fill_primary": "var(--at-surface)",
        "background_fill_secondary": "var(--at-paper)",
        "border_color_primary": "var(--at-line)",
        "border_color_accent": "var(--at-accent)",
        "block_background_fill": "transparent",
        "block_border_color": "var(--at-line)",
        "block_label_background_fill": "transparent",
        "block_label_text_color": "var(--at-muted)",
        "block_title_text_color": "var(--at-muted)",
        "block_info_text_color": "var(--at-muted)",
        "panel_background_fill": "transparent",
        "input_background_fill": "var(--at-surface)",
        "input_background_fill_focus": "var(--at-surface)",
        "input_border_color": "var(--at-line-strong)",
        "input_border_color_focus": "var(--at-accent)",
        "input_placeholder_color": "var(--at-muted)",
        "button_primary_background_fill": "var(--at-accent)",
        "button_primary_background_fill_hover": "var(--at-accent-strong)",
        "button_primary_border_color": "var(--at-accent)",
        "button_primary_text_color": "var(--at-on-accent)",
        "button_secondary_background_fill": "transparent",
        "button_secondary_background_fill_hover": "var(--at-tint)",
        "button_secondary_border_color": "var(--at-line-strong)",
        "button_secondary_text_color": "var(--at-ink)",
        "checkbox_label_background_fill": "transparent",
        "checkbox_label_background_fill_hover": "var(--at-tint)",
        "checkbox_label_background_fill_selected": "var(--at-tint)",
        "checkbox_label_text_color": "var(--at-muted)",
        "checkbox_label_text_color_selected": "var(--at-ink)",
        "checkbox_background_color_selected": "var(--at-accent)",
        "checkbox_border_color_selected": "var(--at-accent)",
        "color_accent": "var(--at-accent)",
        "color_accent_soft": "var(--at-tint)",
        "link_text_color": "var(--at-accent)",
    }
    dark = {f"{name}_dark": value for name, value in pairs.items() if hasattr(theme, f"{name}_dark")}
    theme.set(**pairs, **dark, **FLAT)
    return theme
