"""The Gradio app: puzzles, text, training monitor and data explorer; started by `hrm-hf app` and the Space."""
