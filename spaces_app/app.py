"""The Space: the app of the package `hrm_hf`, with the shipped models and those in HRM_HUB_MODELS."""

import os
from pathlib import Path

from hrm_hf.app.context import AppSettings
from hrm_hf.app.main import launch


launch(
    AppSettings(
        models_root=Path("models"),
        runs_root=Path("runs"),
        data_root=Path("data"),
        hub_models=tuple(os.environ.get("HRM_HUB_MODELS", "").split()),
    ),
    host="0.0.0.0",
    port=int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
)
