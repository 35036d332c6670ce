"""The Gradio app: puzzles, text, training monitor and data explorer; `hrm-hf app` and the Space start it."""
